"""The trials of a sweep and their points as rows: of what is exported, of the report's CSV, of Python's data frames.

Each table names the columns that it shows, and in which order its rows stand; what a column means is said here alone.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from jobs.operations.tuning import shared_hours
from jobs.store.events import Asked, Ended, Metrics, Read, Refused, Replicated, Validated
from jobs.store.names import trial_name
from jobs.store.state import SweepState
from jobs.store.states import OUT, TrialState
from jobs.store.trial import Trial
from oplstm.episodes.measure import Measure
from oplstm.training.run_size import counted_parameters

Row = dict[str, Any]
PARAMETER: Final = "param."
"""Before the name of a parameter of the space, which may be any text."""
TESTS: Final = ("test/", "cross/")
"""Before the names of test scores, by which nothing may be picked: they are the last columns of any table."""

COLUMNS: Final[Mapping[str, Callable[[Trial], Any]]] = {
    "trial": lambda trial: trial.name,
    "number": lambda trial: trial.number,
    "replicate": lambda trial: trial.replicate,
    "replicate_of": lambda trial: trial_name(trial.number) if trial.replicate else None,
    "state": lambda trial: str(trial.state),
    "best_update": lambda trial: trial.best_update if trial.state.ended and trial.points else None,
    "updates": lambda trial: int(trial.points[-1]["update"]) if trial.points else None,
    "tasks_seen": lambda trial: trial.points[-1].get("tasks_seen") if trial.points else None,
    "done": lambda trial: trial.fraction if trial.run else None,
    "hours": lambda trial: trial.hours,
    "peak_memory": lambda trial: None if trial.memory is None else int(trial.memory.peak),
    "sharing": lambda trial: None if trial.memory is None else trial.memory.sharing,
    "parameters": lambda trial: _parameters(trial),
    "pack": lambda trial: trial.pack,
    "note": lambda trial: trial.note,
}
"""What is known of a trial by itself; None where nothing is. Its ``hours`` are by the clock of its pack, not shared."""


def cells(trial: Trial, columns: Iterable[str]) -> Row:
    """These columns of a trial."""
    return {name: COLUMNS[name](trial) for name in columns}


def ranked(state: SweepState) -> list[Trial]:
    """All trials, those that can be promoted first, best meta-validation first; without replicates.

    What began with the weights of another trial cannot be promoted.
    """
    return sorted(state.trials.values(), key=lambda trial: (_rank(trial), trial.cost, trial.number))


def _rank(trial: Trial) -> int:
    promotable = trial.state is TrialState.COMPLETE and not trial.is_warm
    return 0 if promotable else 2 if trial.state in OUT else 1


def hours_of(state: SweepState) -> dict[str, float]:
    """Hours of training, by the names of trials and replicates; those of a pack are shared by its runs."""
    return dict(spent for pack in state.packs.values() for spent in shared_hours(pack))


def trial_rows(
    state: SweepState, measure: Measure, *, hours: Mapping[str, float], run_ids: Mapping[str, str]
) -> list[Row]:
    """A row a trial, best meta-validation first, then the replicates; None where nothing is known.

    Test scores are no part of it: whoever sorts it by one would pick by it.

    Args:
        state: Of the sweep.
        measure: What its trials are compared by.
        hours: As ``hours_of``.
        run_ids: MLflow runs, by the names of trials and replicates.
    """
    ordered = [*ranked(state), *state.replicates.values()]
    names = list(dict.fromkeys(name for trial in ordered for name in trial.params))
    return [
        {
            **cells(trial, ("trial", "replicate_of", "state")),
            f"val/{measure.name}": trial.best,
            "val/ci95": half_width(trial),
            **cells(trial, ("best_update", "updates")),
            "hours": float(f"{hours[trial.name]:.6g}") if trial.name in hours else None,
            **cells(trial, ("peak_memory", "sharing", "parameters", "pack")),
            **{PARAMETER + name: trial.params.get(name) for name in names},
            "began_with": trial.began_with if trial.is_warm else None,
            "note": trial.note,
            "mlflow_run": run_ids.get(trial.name),
        }
        for trial in ordered
    ]


@dataclass
class Told:
    """What only the events of a sweep tell.

    Attributes:
        asked: When each trial was asked for, in Unix seconds.
        ended: When each ended or stopped last.
        scores: What each said of itself then.
        points: A row a validation point, in the order in which they came.
    """

    asked: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    scores: dict[str, Metrics] = field(default_factory=dict)
    points: list[Row] = field(default_factory=list)

    @classmethod
    def of(cls, reads: Iterable[Read]) -> "Told":
        """Of the events of a journal, oldest first."""
        told = cls()
        for read in reads:
            match read.event:
                case Asked(trial=number) | Refused(trial=number):
                    told.asked[trial_name(number)] = read.time
                case Replicated() as event:
                    told.asked[trial_name(event.trial, event.replicate)] = read.time
                case Validated() as event:
                    row = {"trial": event.trial, "update": event.update, "milestone": event.milestone}
                    told.points.append(row | {"time": stamp(read.time), "pruned": event.prune, **event.metrics})
                case Ended() as event:
                    told.ended[event.trial], told.scores[event.trial] = read.time, event.metrics
                case _:
                    pass
        return told


def stamp(seconds: float | None) -> str | None:
    """A time as text."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds") if seconds else None


def half_width(trial: Trial) -> float | None:
    """Of the 95% interval of a trial's best validation over tasks."""
    best = trial.best
    name = f"val/{trial.measure.name}"
    return next((point.get("val/ci95") for point in trial.points if point.get(name) == best), None)


def _parameters(trial: Trial) -> int | None:
    if not trial.run:
        return None
    run = trial.config
    return counted_parameters(run.learner, run.hyperparameters, run.benchmark)
