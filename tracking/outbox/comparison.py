"""What a journal told MLflow against what MLflow holds: one run a key, in its end state, each point once."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracking.journal.reading import Scan, group_in
from tracking.outbox.cursor import Cursor, cursor_path
from tracking.outbox.decoding import decode
from tracking.outbox.entities import entities
from tracking.outbox.keyed_runs import KEY_TAG, is_empty
from tracking.outbox.records import CreateRun, EndRun, Record, ReopenRun
from tracking.outbox.refusals import RefusedFile
from tracking.server.client import all_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Row = tuple[int, int, str]
"""A value of a metric: its step, its timestamp in milliseconds, and itself as text."""


class Fault(StrEnum):
    """What can be wrong with a run in MLflow."""

    MISSING = "missing"
    TWIN = "twin"
    SECOND = "second"
    STATUS = "status"
    LOST = "lost"
    DOUBLED = "doubled"
    AHEAD = "ahead"


SHIPPED_AGAIN: Final = (Fault.MISSING, Fault.STATUS, Fault.LOST)
"""What is right once the journal was shipped again, unless MLflow has refused it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the journal says.

    Attributes:
        key: Of the run.
        fault: What is wrong.
        line: The same for a person.
        run_id: Of the run in MLflow, if there is one.
    """

    key: str
    fault: Fault
    line: str
    run_id: str | None = None


@dataclass(slots=True)
class _Told:
    """What was told of a run.

    Attributes:
        shipped: Whether its creation was shipped.
        status: The states in which it may be: that of what was shipped, and those of what waits.
        rows: Of each metric, what was shipped.
        waiting: Of each metric, what waits.
    """

    shipped: bool
    status: set[str] = field(default_factory=lambda: {"RUNNING"})
    rows: dict[str, list[Row]] = field(default_factory=dict)
    waiting: dict[str, list[Row]] = field(default_factory=dict)

    def take(self, record: Record, *, shipped: bool) -> None:
        if isinstance(record, EndRun | ReopenRun):
            status = record.status if isinstance(record, EndRun) else "RUNNING"
            self.status = {status} if shipped else {*self.status, status}
        rows = self.rows if shipped else self.waiting
        for one in entities(record):
            if one.kind == "metric":
                rows.setdefault(one.name, []).append((one.step, one.timestamp, _text(float(one.value))))


def differences(
    client: "MlflowClient", journal: Path, *, experiment: str, key: str, among: Collection[str] | None = None
) -> list[Difference]:
    """What of a journal is not in MLflow as it was told; what was not shipped yet is no fault.

    A value that MLflow refused for good, and a run that a user has deleted there, are the outbox's to name.

    Args:
        client: Of the server.
        journal: The journal, which nobody ships.
        experiment: Name of the experiment of its runs.
        key: That with which the keys of all its runs begin, up to the first slash.
        among: Keys of the runs to look at; None for all.

    Raises:
        RequestError, WorkError: The journal cannot be read.
        Exception: The server gives no answer.
    """
    cursor = Cursor.load(cursor_path(journal))
    there, told = runs_of(client, experiment, key), _told(journal, cursor.offset)
    refused = {refusal.key for refusal in RefusedFile(journal.with_name(journal.name + ".refused")).read()}
    found: list[Difference] = []
    for name, of_run in told.items():
        if name not in cursor.deleted and (among is None or name in among):
            found += _of_run(client, name, told=of_run, runs=there.get(name, []), in_use=cursor.runs.get(name))
    for name in there.keys() - told.keys():
        run_id = there[name][0].info.run_id
        line = f"run {run_id} of {name} is in MLflow, and nothing here knows of it"
        found.append(Difference(name, Fault.AHEAD, line, run_id))
    return [one for one in found if not (one.fault in SHIPPED_AGAIN and one.key in refused)]


def empty_running(client: "MlflowClient", journal: Path, *, experiment: str, key: str) -> list[Difference]:
    """The empty runs beside those in use, of a journal that nobody ships: one look, at those that are running.

    Raises:
        Exception: The server gives no answer.
    """
    in_use = Cursor.load(cursor_path(journal)).runs
    there = runs_of(client, experiment, key, wanted="attributes.status = 'RUNNING' AND ")
    return [
        Difference(name, Fault.TWIN, _empty(name, run.info.run_id, in_use[name]), run.info.run_id)
        for name, runs in there.items()
        for run in runs
        if name in in_use and run.info.run_id != in_use[name] and is_empty(run)
    ]


def _empty(key: str, run_id: str, in_use: str) -> str:
    return f"{key} has an empty run {run_id} in MLflow beside {in_use}"


def runs_of(client: "MlflowClient", experiment: str, key: str, *, wanted: str = "") -> "dict[str, list[Run]]":
    """The active runs of an experiment whose keys begin so, by key; ``wanted`` is the beginning of MLflow's filter.

    Raises:
        Exception: The server gives no answer.
    """
    found: dict[str, list[Run]] = {}
    if (there := client.get_experiment_by_name(experiment)) is not None:
        for run in all_runs(client, [there.experiment_id], f"{wanted}tags.`{KEY_TAG}` LIKE '{key}%'"):
            if (name := run.data.tags[KEY_TAG]).partition("/")[0] == key:
                found.setdefault(name, []).append(run)
    return found


def twins(runs: "Sequence[Run]", in_use: str | None) -> "tuple[Run | None, list[Run], list[Run]]":
    """Of the runs of one key that which is in use, those that are empty beside it, and those that are not."""
    ordered = sorted(runs, key=lambda run: (run.info.run_id != in_use, is_empty(run), run.info.run_id))
    return (
        next(iter(ordered), None),
        [run for run in ordered[1:] if is_empty(run)],
        [run for run in ordered[1:] if not is_empty(run)],
    )


def _told(journal: Path, offset: int) -> dict[str, _Told]:
    """What a journal tells of each run, and what of it was shipped: that before an offset."""
    found: dict[str, _Told] = {}
    with journal.open("rb") as file:
        scan = Scan(file, journal)
        for line in scan.groups():
            shipped = scan.end <= offset
            for data in group_in(line, sealed=scan.chain.begun) or ():
                if data.get("kind") != "track":
                    continue
                try:
                    record = decode(data)
                except ValueError:  # the outbox has refused it
                    continue
                if isinstance(record, CreateRun):
                    found[record.key] = _Told(shipped)
                if record.key in found:
                    found[record.key].take(record, shipped=shipped)
    return found


def _of_run(
    client: "MlflowClient", key: str, *, told: _Told, runs: "Sequence[Run]", in_use: str | None
) -> Iterator[Difference]:
    run, empty, others = twins(runs, in_use)
    if run is None:
        if told.shipped:
            yield Difference(key, Fault.MISSING, f"{key} has no run in MLflow")
        return
    this = run.info.run_id
    for twin in empty:
        yield Difference(key, Fault.TWIN, _empty(key, twin.info.run_id, this), twin.info.run_id)
    for other in others:
        line = f"{key} has a second run {other.info.run_id} in MLflow, which is not empty, beside {this}"
        yield Difference(key, Fault.SECOND, line, other.info.run_id)
    if run.info.status not in told.status:
        line = f"run {this} of {key} is {run.info.status} in MLflow and {' or '.join(sorted(told.status))} here"
        yield Difference(key, Fault.STATUS, line, this)
    if told.rows:
        # a point is logged whole: the histories of all its metrics say the same, at a call each
        metric = max(told.rows, key=lambda name: len(told.rows[name]))
        history = [(row.step, row.timestamp, _text(row.value)) for row in client.get_metric_history(this, metric)]
        yield from _of_points(key, this, metric, told=told, rows=history)
        lost = [name for name in told.rows if name not in run.data.metrics]
        if lost:
            yield Difference(key, Fault.LOST, f"run {this} of {key} lacks {', '.join(sorted(lost))} in MLflow", this)


def _of_points(key: str, run_id: str, metric: str, *, told: _Told, rows: Iterable[Row]) -> Iterator[Difference]:
    wanted, waiting, there = set(told.rows[metric]), set(told.waiting.get(metric, [])), set(rows)
    where = f"run {run_id} of {key}"
    if lost := wanted - there:
        yield Difference(key, Fault.LOST, f"{where} lacks {_points(lost, metric)} in MLflow", run_id)
    more = there - wanted - waiting
    steps = {step for step, *_ in wanted | waiting}
    if doubled := {row for row in more if row[0] in steps}:
        line = f"{where} has {_points(doubled, metric)} in MLflow more than once, or with another value"
        yield Difference(key, Fault.DOUBLED, line, run_id)
    if ahead := more - doubled:
        line = f"{where} has {_points(ahead, metric)} in MLflow of which nothing is known here"
        yield Difference(key, Fault.AHEAD, line, run_id)


def _points(rows: Collection[Row], metric: str) -> str:
    return f"{len(rows)} points of {metric} (from step {min(rows)[0]} on)"


def _text(value: float) -> str:
    return "nan" if math.isnan(value) else repr(value)
