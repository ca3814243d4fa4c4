"""Markdown from values: tables, and docstrings in Google's style."""

import base64
import inspect
import re
from collections.abc import Iterable, Sequence

ENTRY = re.compile(r"^    ([\w.]+): (.*(?:\n {8}.*)*)", re.MULTILINE)
"""A name in a section, and its meaning, which may go on in further lines."""
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold anything on one line."""
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def image(said: str, svg: bytes) -> str:
    """A picture within the page, with words in its place for who does not see it."""
    return f'<img alt="{said}" src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}">'


def code(value: object) -> str:
    """``value`` as a job file writes it, as code."""
    return f"`{written(value)}`"


def written(value: object) -> str:
    """``value`` as a job file writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(written, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def documented(cls: type) -> dict[str, str]:
    """The names under ``Attributes:`` in the docstrings of a class and those it is made of, with what they mean."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        section = (inspect.cleandoc(one.__doc__ or "")).partition("\nAttributes:\n")[2]
        found |= {name: prose(meaning) for name, meaning in ENTRY.findall(section)}
    return found


def prose(text: str) -> str:
    """A docstring's paragraph on one line, with Markdown's code instead of reStructuredText's, and no links."""
    parts = re.sub(r"\s+", " ", text).replace("``", "`").strip().split("`")
    parts[::2] = [re.sub(r"([\[\]<*_])", r"\\\1", words) for words in parts[::2]]
    return "`".join(parts)
