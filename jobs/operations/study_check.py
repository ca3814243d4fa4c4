"""Optuna's study in its file against the journal: every trial's state, point, values and validation points."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.jobfile.schema import Job
from jobs.store.events import Asked, Ended, Params, Refused, Rerun, Validated, read_events
from jobs.store.extended import Extended
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.live import TakenOut
from jobs.store.names import trial_name
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.study_file import damage_in, stored_study
from oplstm.errors import one_line

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_OPTUNAS = {TrialState.COMPLETE: "COMPLETE", TrialState.PRUNED: "PRUNED", TrialState.DIVERGED: "PRUNED"}
"""Names of Optuna's states; a trial that has ended in no other way is one of its FAIL."""


@dataclass
class _Wanted:
    """What the study should hold of a trial.

    Attributes:
        params: The point.
        state: Name of Optuna's state.
        value: Of a trial that is complete.
        reported: Its validation values by milestone.
    """

    params: Params
    state: str = "RUNNING"
    value: float | None = None
    reported: dict[int, float] = field(default_factory=dict)


def study_damage(folder: SweepFolder, state: SweepState) -> str | None:
    """What is wrong with the file of a sweep's study, as one line, whatever the journal says."""
    if not folder.study.exists():
        return f"{folder.study} is missing" if state.trials else None
    return damage_in(folder.study)


def study_problems(folder: SweepFolder, header: Header, state: SweepState) -> Iterator[str]:
    """What is wrong with a sweep's study, one line each.

    Raises:
        RequestError: The journal is of another version.
        WorkError: The journal is damaged.
    """
    if (damage := study_damage(folder, state)) is not None:
        yield damage
    if damage is not None or not folder.study.exists():
        return
    try:
        found = stored_study(folder.study, folder.name).trials
    except Exception as error:  # whatever Optuna finds impossible in its own file
        yield f"{folder.study}: Optuna cannot read it: {one_line(error)}"
        return
    yield from (f"{folder.study}: {problem}" for problem in _compared(header.job, _wanted(folder, header), found))


def _wanted(folder: SweepFolder, header: Header) -> list[_Wanted]:
    """The trials of a journal, as the coordinator has told them to Optuna."""
    trials: dict[str, _Wanted] = {}
    warm: list[_Wanted] = []  # began with another's weights, of which the study is told no result
    nobody_learns = header.job.space is None and header.job.pruner.name is None
    for read in read_events(folder.journal):
        match read.event:
            case Asked() as event:
                trials[trial_name(event.trial)] = _Wanted(event.params)
                if event.added is not None and event.added.from_update is not None:
                    warm.append(trials[trial_name(event.trial)])
            case Refused() as event:
                trials[trial_name(event.trial)] = _Wanted(event.params, _OPTUNAS.get(event.state, "FAIL"))
            case Validated(trial=name) | Ended(trial=name) if name not in trials:
                pass  # a replicate, of which the study is not told
            case Validated() as event:
                value = event.metrics.get(f"val/{header.measure.name}", math.nan)
                if math.isfinite(value) and event.milestone and not nobody_learns:
                    trials[event.trial].reported.setdefault(event.milestone, value)
            case TakenOut(trial=name, waits=True):
                trials[name].state = _OPTUNAS[TrialState.PRUNED]
            case Ended(state=end) as event if end.ended:
                trials[event.trial].state = _OPTUNAS.get(end, "FAIL")
                if end is TrialState.COMPLETE:
                    trials[event.trial].value = event.metrics.get("val/best", header.measure.worst)
            case Rerun(trials=again) | Extended(goes_on=again):
                for name in again:
                    if name in trials:
                        trials[name].state, trials[name].value = "RUNNING", None
            case _:
                pass
    for one in warm:
        one.state, one.value, one.reported = one.state if one.state == "RUNNING" else "FAIL", None, {}
    return list(trials.values())


def _compared(job: Job, wanted: list[_Wanted], found: "list[FrozenTrial]") -> Iterator[str]:
    rest = iter(found)
    for number, one in enumerate(wanted):
        drawn = next_of(rest, one.params, job=job, may_be_vain=one.state == "FAIL" and not one.reported)
        if drawn is None:
            yield f"{trial_name(number)} and what follows are missing"
            return
        here = f"{trial_name(number)}, which is number {drawn.number} there,"
        if _searched(drawn.params, job) != _searched(one.params, job):
            yield f"{here} is {str(drawn.params)[:200]} and not {str(one.params)[:200]}"
        if drawn.state.name != one.state:
            yield f"{here} is {drawn.state.name} and not {one.state}"
        if drawn.intermediate_values != one.reported:
            yield f"{here} has other points than the journal: {len(drawn.intermediate_values)} for {len(one.reported)}"
        if one.state == "COMPLETE" and drawn.values != [one.value]:
            yield f"{here} has the value {drawn.values} and not {one.value}"
    if any(not _is_in_vain(left) for left in rest):
        yield f"it holds more trials than the {len(wanted)} of the journal"


def next_of(rest: "Iterator[FrozenTrial]", params: Params, *, job: Job, may_be_vain: bool) -> "FrozenTrial | None":
    """Optuna's trial of the next point of a sweep, out of those that follow the one before; None where none is left.

    They stand in the same order; what the sampler drew in vain, before one that was new, is Optuna's alone. In a space
    that is used up that may be the very point that a user adds once more.

    Args:
        rest: The trials that follow.
        params: The point.
        job: Of the sweep.
        may_be_vain: Whether the study has of it what it has of a point that was drawn in vain.
    """
    drawn = next(rest, None)
    while drawn is not None and _is_in_vain(drawn):
        if may_be_vain and _searched(drawn.params, job) == _searched(params, job):
            break
        drawn = next(rest, None)
    return drawn


def _is_in_vain(trial: "FrozenTrial") -> bool:
    return trial.state.name == "FAIL" and not trial.intermediate_values


def _searched(params: Params, job: Job) -> str:
    """A point, whose values need not be what a journal can hold, but for what the job pins; old versions had it."""
    from jobs.jobfile.resolving import pins  # imports torch
    from jobs.sweep.proposals import told

    pinned = pins(job)
    return json.dumps(told({name: value for name, value in params.items() if name not in pinned}), sort_keys=True)
