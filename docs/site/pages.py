"""The pages of the site: those in ``docs/``, with what is generated from the code in place of their marks."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.site import (
    adaptation,
    command_line,
    five_points,
    job_file,
    methods,
    python_door,
    results,
    spaces,
    tuning_curves,
)

DOCS = Path(__file__).resolve().parent.parent
ROOT = DOCS.parent
MARK = re.compile(r"^<!-- generated: ([a-z_-]+)((?: [\w.-]+)*) -->$", re.MULTILINE)
GENERATORS: dict[str, Callable[..., str]] = {
    "verbs": command_line.verbs,
    "options": methods.options,
    "published": methods.published,
    "job-file": job_file.sections,
    "jobs": job_file.shipped,
    "spaces": spaces.spaces,
    "python": python_door.described,
    "cells": results.cells,
    "seeds": results.seeds,
    "below": results.below,
    "not-run": results.not_run,
    "one-seed-each": results.one_seed_each,
    "training": results.training,
    "luck": results.luck,
    "trials": results.trials_of,
    "tuning-curves": tuning_curves.tuning_curves,
    "validation-tasks": results.validation_tasks,
    "adaptation": adaptation.adaptation,
    "five-points": five_points.drawn,
    "five-points-numbers": five_points.numbers,
}
"""What may stand in a mark, as in ``<!-- generated: options op_lstm -->``, with its arguments behind it."""
_WHERE = "`make docs`, which builds the site; in a checkout their places are empty"
UNBUILT = f"*The tables of this page are made by {_WHERE}.*\n\n"
"""Stands on every page that has marks, for who reads it in a checkout."""
BESIDE = {"changelog.md": ROOT / "CHANGELOG.md"}
"""Pages of the site that stand elsewhere in a checkout, because people and programs look for them there."""


def sources() -> Iterator[tuple[str, Path]]:
    """Every page of the site: its path there, and where it stands in the checkout."""
    for path in sorted(DOCS.rglob("*.md")):
        yield str(path.relative_to(DOCS)), path
    yield from BESIDE.items()


def filled_in(text: str) -> str:
    """A page with its generated parts.

    Raises:
        KeyError: A mark names something that is not generated.
    """
    return MARK.sub(lambda mark: GENERATORS[mark[1]](*mark[2].split()), text.replace(UNBUILT, ""))


def write_site_source(folder: Path) -> None:
    """The pages, pictures, style and settings of the site, into ``folder``, in place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    for page, path in sources():
        target = folder / "pages" / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(filled_in(path.read_text()))
    shutil.copytree(DOCS / "images", folder / "pages" / "images")
    for name in ("style.css", "iframe-worker.js"):
        shutil.copy(DOCS / "site" / name, folder / "pages" / name)
    shutil.copy(DOCS / "site" / "zensical.toml", folder / "zensical.toml")
