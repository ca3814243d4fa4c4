"""The end of a sweep that was hurt beside that of one that nothing happened to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from tests.chaos.findings import Findings, count_points


@dataclass(frozen=True)
class Compared:
    """What came of it.

    Attributes:
        expected: Points, in the journals and as rows in MLflow.
        found: Those of them that are there, once or more often.
        doubled: Those that are there more often.
        lost: Those that are not.
        differences: A line each.
    """

    expected: int
    found: int
    doubled: int
    lost: int
    differences: tuple[str, ...]


def compare(found: Findings, expected: Findings) -> Compared:
    """Everything that is not as it should be."""
    here, wanted = count_points(found), count_points(expected)
    return Compared(
        expected=len(wanted),
        found=sum(point in here for point in wanted),
        doubled=sum(times > 1 for times in here.values()),
        lost=sum(point not in here for point in wanted),
        differences=tuple(_differences(found, expected)),
    )


def _differences(found: Findings, expected: Findings) -> Iterator[str]:
    yield from _of_names("trial", found.trials, expected.trials)
    for key in sorted(found.trials.keys() & expected.trials.keys()):
        yield from _of_fields("/".join(key), found.trials[key], expected.trials[key])
    yield from _of_names("run", found.runs, expected.runs)
    for key, runs in sorted(found.runs.items()):
        name = f"MLflow's run of {'/'.join(key)}"
        if len(runs) != 1:
            yield f"{name}: {len(runs)} runs for one trial: {', '.join(run.status for run in runs)}"
        for run in runs:
            if run.status == "RUNNING":
                yield f"{name}: it is RUNNING"
        if key in expected.runs:
            yield from _of_fields(name, runs[0], expected.runs[key][0])
    if found.promotion != expected.promotion:
        yield f"promotion: {_short(found.promotion)} and should be {_short(expected.promotion)}"
    if found.table != expected.table:
        yield f"table: {_first_other_line(found.table, expected.table)}"


def _of_names(
    what: str, found: Mapping[tuple[str, str], Any], expected: Mapping[tuple[str, str], Any]
) -> Iterator[str]:
    for key in sorted(expected.keys() - found.keys()):
        yield f"{what} {'/'.join(key)} is missing"
    for key in sorted(found.keys() - expected.keys()):
        yield f"{what} {'/'.join(key)} should not be"


def _of_fields(name: str, found: Any, expected: Any) -> Iterator[str]:
    for field in fields(expected):
        here, wanted = getattr(found, field.name), getattr(expected, field.name)
        if here == wanted:
            continue
        if isinstance(wanted, Mapping):
            for key in sorted(here.keys() | wanted.keys()):
                if here.get(key) != wanted.get(key):
                    yield f"{name}, {field.name} {key}: {_other(here.get(key), wanted.get(key))}"
        else:
            yield f"{name}, {field.name}: {_other(here, wanted)}"


def _other(here: Any, wanted: Any) -> str:
    """Where two sequences first differ; or both, shortened."""
    if isinstance(here, tuple) and isinstance(wanted, tuple):
        place = next((i for i, (a, b) in enumerate(zip(here, wanted, strict=False)) if a != b), None)
        if place is None:
            return f"{len(here)} entries and should be {len(wanted)}"
        return f"entry {place} is {_short(here[place])} and should be {_short(wanted[place])}"
    return f"{_short(here)} and should be {_short(wanted)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _first_other_line(found: str, expected: str) -> str:
    lines = zip(found.splitlines(), expected.splitlines(), strict=False)
    here, wanted = next(((a, b) for a, b in lines if a != b), (f"{len(found)} characters", f"{len(expected)}"))
    return f"{here!r} and should be {wanted!r}"
