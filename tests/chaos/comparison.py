"""The end of a sweep that was hurt beside that of one that nothing happened to.

Everything is the same to the bit, with one exception: when a worker dies, Ray Tune may take another pack first, and
then others join others. The rounding of a run hangs on who shares its pack; so where that is another company than in
the unbroken run, its numbers are compared within rounding, and its files by their names.
"""

import math
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from tests.chaos.findings import Findings, FoundRun, count_points

ROUNDING: Final = 1e-4
"""Relative; after 2,000 updates in float32 differences of 1e-7 were seen."""

REGISTERED: Final = "registered_model-"


@dataclass(frozen=True)
class Compared:
    """What came of it.

    Attributes:
        expected: Points, in the journals and as rows in MLflow.
        found: Those of them that are there, once or more often.
        doubled: Those that are there more often.
        lost: Those that are not.
        differences: A line each.
        to_the_bit: Trials that were compared so.
        within_rounding: Those that had another company in their pack.
    """

    expected: int
    found: int
    doubled: int
    lost: int
    differences: tuple[str, ...]
    to_the_bit: int = 0
    within_rounding: int = 0


def compare(found: Findings, expected: Findings) -> Compared:
    """Everything that is not as it should be."""
    here, wanted = count_points(found), count_points(expected)
    others = frozenset(
        key
        for key in found.trials.keys() & expected.trials.keys()
        if found.trials[key].mates != expected.trials[key].mates
    )
    return Compared(
        expected=len(wanted),
        found=sum(point in here for point in wanted),
        doubled=sum(times > 1 for times in here.values()),
        lost=sum(point not in here for point in wanted),
        differences=tuple(_differences(found, expected, others)),
        to_the_bit=len(expected.trials) - len(others),
        within_rounding=len(others),
    )


def _differences(found: Findings, expected: Findings, others: Set[tuple[str, str]]) -> Iterator[str]:
    yield from _of_names("trial", found.trials, expected.trials)
    for key in sorted(found.trials.keys() & expected.trials.keys()):
        here, wanted = found.trials[key], expected.trials[key]
        if key in others:
            here = replace(here, mates=wanted.mates, files=dict.fromkeys(here.files, ""))
            wanted = replace(wanted, files=dict.fromkeys(wanted.files, ""))
        yield from _of_fields("/".join(key), here, wanted, rounded=key in others)
    yield from _of_names("run", found.runs, expected.runs)
    for key, runs in sorted(found.runs.items()):
        name = f"MLflow's run of {'/'.join(key)}"
        if len(runs) != 1:
            yield f"{name}: {len(runs)} runs for one trial: {', '.join(run.status for run in runs)}"
        for run in runs:
            if run.status == "RUNNING":
                yield f"{name}: it is RUNNING"
        if key in expected.runs:
            rounded = bool(key in others or (others and not key[1]))
            yield from _of_fields(
                name, *(_named(run, rounded) for run in (runs[0], expected.runs[key][0])), rounded=rounded
            )
    if not _same(found.promotion, expected.promotion, rounded=bool(others)):
        yield f"promotion: {_short(found.promotion)} and should be {_short(expected.promotion)}"
    yield from _of_tables(found.table, expected.table, rounded=bool(others))


def _named(run: FoundRun, rounded: bool) -> FoundRun:
    """A run; where its weights were rounded otherwise, the folder of its registered model has another digest's name."""
    names = (path.partition("-")[0] if path.startswith(REGISTERED) else path for path in run.artifacts)
    return replace(run, artifacts=tuple(names)) if rounded else run


def _of_names(
    what: str, found: Mapping[tuple[str, str], Any], expected: Mapping[tuple[str, str], Any]
) -> Iterator[str]:
    for key in sorted(expected.keys() - found.keys()):
        yield f"{what} {'/'.join(key)} is missing"
    for key in sorted(found.keys() - expected.keys()):
        yield f"{what} {'/'.join(key)} should not be"


def _of_fields(name: str, found: Any, expected: Any, *, rounded: bool) -> Iterator[str]:
    for field in fields(expected):
        here, wanted = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(wanted, Mapping):
            for key in sorted(here.keys() | wanted.keys()):
                if not _same(here.get(key), wanted.get(key), rounded=rounded):
                    yield f"{name}, {field.name} {key}: {_other(here.get(key), wanted.get(key), rounded=rounded)}"
        elif not _same(here, wanted, rounded=rounded):
            yield f"{name}, {field.name}: {_other(here, wanted, rounded=rounded)}"


def _same(here: Any, wanted: Any, *, rounded: bool) -> bool:
    if not rounded or here == wanted:
        return bool(here == wanted)
    if isinstance(here, float) and isinstance(wanted, float):
        return math.isclose(here, wanted, rel_tol=ROUNDING)
    if isinstance(here, Mapping) and isinstance(wanted, Mapping):
        return here.keys() == wanted.keys() and all(_same(here[key], wanted[key], rounded=True) for key in wanted)
    if isinstance(here, tuple | list) and isinstance(wanted, tuple | list):
        pairs = zip(here, wanted, strict=False)
        return len(here) == len(wanted) and all(_same(one, other, rounded=True) for one, other in pairs)
    return False


def _other(here: Any, wanted: Any, *, rounded: bool) -> str:
    """Where two sequences first differ; or both, shortened."""
    if isinstance(here, tuple) and isinstance(wanted, tuple):
        pairs = enumerate(zip(here, wanted, strict=False))
        place = next((place for place, pair in pairs if not _same(*pair, rounded=rounded)), None)
        if place is None:
            return f"{len(here)} entries and should be {len(wanted)}"
        return f"entry {place} is {_short(here[place])} and should be {_short(wanted[place])}"
    return f"{_short(here)} and should be {_short(wanted)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _of_tables(here: Any, wanted: Any, *, rounded: bool) -> Iterator[str]:
    if here is None or wanted is None:
        if here != wanted:
            yield "table: there is none"
        return
    for one, other in zip(here["cells"], wanted["cells"], strict=True):
        if not _same(one, other, rounded=rounded):
            yield f"table: {_short(one['ours'])} and should be {_short(other['ours'])}"
