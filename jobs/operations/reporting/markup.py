"""The parts that a page is made of. What is called HTML has been escaped; what is called text has not."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote, urlsplit

from jobs.operations.reporting.contents import Contents
from jobs.store.intervals import StatedInterval

_MOST_NAMES: Final = 40
_UNKNOWN: Final = "–"

Html = str
"""HTML that has been escaped."""


def section(title: str, body: str) -> str:
    """A part of the page: a title as text, and HTML."""
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def bullets(lines: Iterable[Html]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Html]]) -> str:
    """Headings as text, and cells."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def cell(value: Any) -> Html:
    """Any value."""
    if value is None:
        return _UNKNOWN
    return number(value) if isinstance(value, float) else escape(str(value))


def names(found: Sequence[str]) -> Html:
    """Names of trials, the first of many."""
    rest = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return escape(", ".join(found[:_MOST_NAMES]) + rest)


def number(value: float | None) -> Html:
    """To four digits."""
    return _UNKNOWN if value is None or math.isnan(value) else f"{value:.4g}"


def interval(mean: float | None, half: float | None) -> Html:
    """``mean ± half-width``."""
    return number(mean) + ("" if half is None or math.isnan(half) else f" ± {half:.2g}")


def stated(value: StatedInterval) -> Html:
    """The same of what a promotion left."""
    return interval(value.mean, value.half_width)


def run_link(contents: Contents, run_id: str | None, text: str) -> Html:
    """To a run in the MLflow UI, where a server is known: that of the sweep, or the one the page is sent to."""
    if run_id is None:
        return escape(text) if text.startswith("trial-") else ""
    return _link(contents, f"#/runs/{quote(run_id, safe='')}", text, else_=f"{text} {run_id}")


def model_link(contents: Contents, registered: str) -> Html:
    """To a version in the MLflow Model Registry, given as ``name:version``."""
    name, _, version = registered.rpartition(":")
    path = f"#/models/{quote(name, safe='')}/versions/{quote(version, safe='')}"
    return _link(contents, path, registered, else_=registered)


def _link(contents: Contents, path: str, text: str, *, else_: str) -> Html:
    uri = contents.server or ""
    if urlsplit(uri).scheme not in ("http", "https"):
        return escape(text if text.startswith("trial-") else else_)
    return f'<a href="{escape(uri.rstrip("/"))}/{escape(path)}" rel="noopener noreferrer">{escape(text)}</a>'
