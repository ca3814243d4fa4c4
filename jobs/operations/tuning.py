"""What a sweep's trials say about tuning: their costs, what they took, and how two sweeps compare at equal effort."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from jobs.store.header import Header
from jobs.store.intervals import Values
from jobs.store.state import SweepState
from jobs.store.states import OUT, SweepKind, TrialState
from jobs.store.trial import PackState
from oplstm.errors import RequestError
from search_spaces.samplers import is_adaptive

if TYPE_CHECKING:  # it needs scipy
    from tracking.results.tuning import Curve

Effort = Literal["trials", "hours"]
_HOURS_SHOWN = 200  # places on an axis of hours at which curves are compared


@dataclass(frozen=True)
class Tried:
    """A sweep's trials as draws of its space.

    Attributes:
        header: Of the sweep.
        state: Of the sweep.
        costs: Best validation of each trial, less is better; inf for one that diverged.
        hours: Of training, a trial, on average; None where effort is counted in trials.
    """

    header: Header
    state: SweepState
    costs: list[float]
    hours: float | None

    @property
    def name(self) -> str:
        """Of the sweep."""
        return self.header.name

    def curve(self, effort: Values, *, confidence: float) -> "Curve":
        """Its tuning curve at these efforts: trials, or hours."""
        from tracking.results.tuning import tuning_curve

        return tuning_curve(self.costs, effort / (self.hours or 1.0), confidence=confidence)


def tried(header: Header, state: SweepState, effort: Effort) -> Tried:
    """The trials of a sweep that have ended.

    Raises:
        RequestError: It is no sweep, none has a score or, where effort is counted in hours, a time.
    """
    if header.kind is not SweepKind.SWEEP:
        raise RequestError(f"{header.name} is a {header.kind} run, which tunes nothing; give sweeps")
    fresh = (trial for trial in state.trials.values() if not trial.is_warm)
    ended = [trial for trial in fresh if trial.state.ended and trial.state is not TrialState.FAILED]
    costs = [math.inf if trial.state in OUT else trial.cost for trial in ended]
    if not any(math.isfinite(cost) for cost in costs):
        raise RequestError(f"{header.name} has no trial that has ended with a score; see oplstm status {header.name}")
    names = {trial.name for trial in ended}
    hours = sum(spent for pack in state.packs.values() for name, spent in shared_hours(pack) if name in names)
    if effort == "hours" and not hours:
        raise RequestError(f"{header.name} has no training times (train/tasks_per_second); draw it against trials")
    return Tried(header, state, costs, hours / len(costs) if effort == "hours" else None)


def shared_hours(pack: PackState) -> Iterator[tuple[str, float]]:
    """Hours of training of each trial of a pack: those of the pack, divided among the runs that shared them."""
    known = [trial for trial in pack.trials if trial.points]
    begins = np.array([trial.joined or 0 for trial in known])
    ends = begins + np.array([trial.points[-1]["update"] for trial in known])
    for trial, begin in zip(known, begins, strict=True):
        seconds = 0.0
        for before, after in itertools.pairwise(trial.points):
            if rate := after.get("train/tasks_per_second"):
                middle = begin + (before["update"] + after["update"]) / 2
                sharing = int(((begins <= middle) & (middle <= ends)).sum())
                seconds += (after.get("tasks_seen", 0.0) - before.get("tasks_seen", 0.0)) / rate / sharing
        yield trial.name, seconds / 3600


def compared(one: Tried, other: Tried, *, confidence: float) -> str:
    """Which of two sweeps is better at equal effort, in a sentence; ``confidence`` is that of each one's band."""
    from tracking.results.tuning import apart

    both = f"{one.name} and {other.name}"
    tasks = [sweep.header.job.benchmark for sweep in (one, other)]
    if differ := [key for key in sorted({*tasks[0], *tasks[1]}) if tasks[0].get(key) != tasks[1].get(key)]:
        return f"{both} are not compared: their tasks differ in {', '.join(differ)}"
    first = max(sweep.hours or 1.0 for sweep in (one, other))
    last = min((sweep.hours or 1.0) * len(sweep.costs) for sweep in (one, other))
    if last < first:
        return f"{both} are not compared: a trial of one takes longer than all of the other"
    efforts = np.arange(1.0, last + 1) if one.hours is None else np.linspace(first, last, _HOURS_SHOWN)
    unit = "{:.0f}" if one.hours is None else "{:.3g}"
    ours, theirs = (sweep.curve(efforts, confidence=confidence) for sweep in (one, other))
    told = [
        f"{better.name} is better than {worse.name} at {_stretches(efforts, where, unit)}"
        for better, worse, where in ((one, other, apart(ours, theirs)), (other, one, apart(theirs, ours)))
        if where.any()
    ]
    up_to = f"up to {unit.format(last)} {'trials' if one.hours is None else 'hours of training'}"
    if not told:
        return f"{both} cannot be told apart at equal effort, {up_to}: their bands overlap"
    return f"{', '.join(told)} (of efforts {up_to}); elsewhere their bands overlap"


def _stretches(efforts: Values, where: NDArray[np.bool_], unit: str) -> str:
    """Efforts that follow each other, by their ends."""
    places = np.flatnonzero(where)
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    ends = [[unit.format(efforts[place]) for place in sorted({run[0], run[-1]})] for run in runs]
    return ", ".join(" to ".join(run) for run in ends)


def notes(sweep: Tried) -> Iterator[str]:
    """What to know about the trials of a sweep, a line each."""
    job, counts = sweep.header.job, sweep.state.counts()
    if job.is_grid:
        yield f"{sweep.name}: the curve is that of its grid's cells in random order, not in that of their training"
    elif is_adaptive(job.sampler.name):
        yield (
            f"{sweep.name}: {job.sampler.name} learns from trials, so they are no draws of one distribution: "
            "the curve is that of these trials in random order, and no claim about the sampler"
        )
    if job.enqueue:
        yield f"{sweep.name}: {len(job.enqueue)} enqueued points count as draws of the space"
    if counts[TrialState.PRUNED]:
        yield f"{sweep.name}: {counts[TrialState.PRUNED]} pruned trials count with the best that they had reached"
    if counts[TrialState.DIVERGED]:
        yield f"{sweep.name}: {counts[TrialState.DIVERGED]} diverged trials count as worse than all others"
    if counts[TrialState.FAILED]:
        yield f"{sweep.name}: {counts[TrialState.FAILED]} failed trials are left out"
