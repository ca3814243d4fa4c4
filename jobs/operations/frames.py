"""The trials of a sweep and their points as pandas data frames. Test scores are the last columns of the trials."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from jobs.operations.trial_rows import PARAMETER, TESTS, Told, cells, hours_of, trial_rows
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.sweep.tracked import key
from tracking.outbox.outbox import idle_outbox

if TYPE_CHECKING:  # it takes a while to import
    from pandas import DataFrame

WHOLE: Final = ("best_update", "updates", "peak_memory", "sharing", "parameters", "tasks_seen")
"""Columns of whole numbers, some of which may be missing."""
_OF_A_POINT: Final = ("trial", "update", "milestone", "time", "pruned", "tasks_seen")


def trials_frame(folder: SweepFolder) -> "DataFrame":
    """A row a trial, best meta-validation first, then the replicates.

    Columns: ``number``, ``trial`` (its name), ``replicate_of`` (the name of the trial whose configuration this is one
    more seed of), ``state``, the best validation value and the half-width of its 95% interval over tasks (``val/...``),
    ``best_update`` and ``updates`` (meta-updates), ``seconds`` (of training, validation left out, those of a pack
    shared by its runs), ``peak_memory`` (bytes, of the process of its pack) and ``sharing`` (the most runs that shared
    them), ``parameters`` (weights), ``pack``, the searched parameters (``param....``), ``note``,
    ``mlflow_run``, and at the very end the test scores, which nothing may be picked by.

    Args:
        folder: Of the sweep, training or final run, which may be running.

    Raises:
        RequestError: Its files are of another version.
        WorkError: Its journal is damaged.
    """
    header = Header.read(folder)
    state = SweepState(header.measure)
    scores = Told.of(state.replay(folder.journal)).scores
    outbox = idle_outbox(folder.journal)
    found = {name: outbox.run_id(key(header, name)) for name in state.by_name}
    run_ids = {name: run_id for name, run_id in found.items() if run_id is not None}
    tested = _ordered(scores.values(), TESTS)
    rows = []
    for row in trial_rows(state, header.measure, hours=hours_of(state), run_ids=run_ids):
        name, hours = row["trial"], row["hours"]
        told = row | {"hours": None if hours is None else 3600 * hours}
        tests = {metric: scores.get(name, {}).get(metric) for metric in tested}
        rows.append({"number": state.by_name[name].number, **told, **tests})
    return _frame(rows).rename(columns={"hours": "seconds"})


def points_frame(folder: SweepFolder) -> "DataFrame":
    """A row a meta-validation point, in the order of trials and of meta-updates, replicates last.

    Columns: ``number``, ``trial``, ``replicate`` (0, or which of the trial's replicates), ``update`` (meta-updates),
    ``tasks_seen``, and the metrics of docs/metrics.md, ``val/...`` first; none of test tasks.

    Args:
        folder: As of ``trials_frame``.

    Raises:
        RequestError: As of ``trials_frame``.
        WorkError: As of ``trials_frame``.
    """
    header = Header.read(folder)
    state = SweepState(header.measure)
    points = Told.of(state.replay(folder.journal)).points
    place = {trial.name: at for at, trial in enumerate([*state.trials.values(), *state.replicates.values()])}
    measured = _ordered(points, ("val/", "train/", ""))
    names = ["tasks_seen", *(name for name in measured if name not in _OF_A_POINT)]
    rows = [
        cells(state.by_name[point["trial"]], ("number", "trial", "replicate"))
        | {"update": point["update"]}
        | {name: point.get(name) for name in names}
        for point in sorted(points, key=lambda point: place[point["trial"]])
    ]
    return _frame(rows, ["number", "trial", "replicate", "update", *names])


def _ordered(found: Iterable[Mapping[str, Any]], groups: tuple[str, ...]) -> list[str]:
    """Names of metrics that begin as a group does, group by group; each stands in the first group that it fits."""
    left, ordered = {name for metrics in found for name in metrics}, list[str]()
    for group in groups:
        fitting = sorted(name for name in left if name.startswith(group))
        left, ordered = left.difference(fitting), ordered + fitting
    return ordered


def _frame(rows: list[dict[str, Any]], columns: list[str] | None = None) -> "DataFrame":
    import pandas as pd

    frame = pd.DataFrame(rows, columns=columns)
    numbers = [column for column in frame if column == "hours" or ("/" in column and not column.startswith(PARAMETER))]
    whole = [column for column in WHOLE if column in frame]
    return frame.astype(dict.fromkeys(numbers, "float64") | dict.fromkeys(whole, "Int64"))
