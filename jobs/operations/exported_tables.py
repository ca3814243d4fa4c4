"""A sweep's trials and validation points as tables, CSV or Parquet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jobs.operations.trial_rows import PARAMETER, TESTS, Row, Told, cells, stamp
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.memory import PEAK, SHARING
from jobs.store.state import SweepState

if TYPE_CHECKING:
    import pyarrow

_FIRST: Final = ("trial", "number", "replicate", "state")
_THEN: Final = (
    "best_update", "updates", "tasks_seen", "done", "hours", "peak_memory", "sharing", "pack", "note",
)  # fmt: skip
_KNOWN: Final = ("val/best", PEAK, SHARING)
"""What the metrics of an end say again."""


@dataclass(frozen=True)
class Tables:
    """A sweep as two tables.

    Attributes:
        trials: A row a trial, in the order in which they were asked for, then the replicates: ``param.`` before the
            names of the searched parameters, ``run.`` before those of the run that they mean, test scores last.
        points: A row a meta-validation point, in the order in which they came.
    """

    trials: list[Row]
    points: list[Row]

    @classmethod
    def of(cls, folder: SweepFolder, header: Header) -> "Tables":
        """Of a sweep, as its journal has it now.

        Raises:
            RequestError: The journal is of another version.
            WorkError: It is damaged.
        """
        state = SweepState(header.measure)
        told = Told.of(state.replay(folder.journal))
        rows = [
            {
                **cells(trial, _FIRST),
                "val/best": trial.best,
                **cells(trial, _THEN),
                "asked": stamp(told.asked.get(trial.name)),
                "ended": stamp(told.ended.get(trial.name) if trial.state.ended else None),
                **{f"{PARAMETER}{name}": value for name, value in trial.params.items()},
                **{f"run.{name}": value for name, value in flat(trial.run)},
                **{name: value for name, value in told.scores.get(trial.name, {}).items() if name not in _KNOWN},
            }
            for trial in state.by_name.values()
        ]
        return cls(_whole(rows), _whole(told.points))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values, those of sections with the section and a dot before them."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _whole(rows: Sequence[Row]) -> list[Row]:
    """Rows with the same columns each, those of tests last."""
    names = dict.fromkeys(name for row in rows for name in row)
    ordered = sorted(names, key=lambda name: name.startswith(TESTS))
    return [{name: row.get(name) for name in ordered} for row in rows]


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write rows as CSV, with a line of names."""
    from pyarrow import csv

    csv.write_csv(_table(rows), path)


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    """Write rows as Parquet."""
    from pyarrow import parquet

    parquet.write_table(_table(rows), path)


def _table(rows: Sequence[Row]) -> "pyarrow.Table":
    import pyarrow

    names = list(rows[0]) if rows else ["trial"]
    return pyarrow.table({name: _column([row[name] for row in rows]) for name in names})


def _column(values: Sequence[Any]) -> "pyarrow.Array":
    """Of one type: truth, whole numbers, numbers, or text, in which lists and what is mixed stand as JSON."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pyarrow.array(values, pyarrow.bool_())
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pyarrow.array(values, pyarrow.int64())
    if kinds and kinds <= {int, float}:
        return pyarrow.array([None if value is None else float(value) for value in values], pyarrow.float64())
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pyarrow.array(texts, pyarrow.string())
