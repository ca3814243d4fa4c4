"""What an event may say of trials after those before it; each raises a ValueError where it may not."""

from collections.abc import Container, Mapping, Sequence

from jobs.store.extended import Extended
from jobs.store.names import pack_name, trial_name
from jobs.store.states import OUT, TrialState
from jobs.store.trial import PackState, Trial


def check_next(number: int, trials: Mapping[int, Trial]) -> None:
    """See that a new trial has the next number."""
    if number != len(trials):
        raise ValueError(f"it makes {trial_name(number)} after {len(trials)} trials")


def check_free(names: Sequence[str], by_name: Mapping[str, Trial], *, resting: Container[str]) -> None:
    """See that trials can come into a pack: they wait, or are in one that no process has begun.

    Raises:
        KeyError: There is no trial of this name.
    """
    for name in names:
        trial = by_name[name]
        if trial.state.ended or not (trial.pack is None or trial.pack in resting):
            raise ValueError(f"it puts {name} into a pack, which is {trial.state} already")
    if len(set(names)) < len(names):
        raise ValueError("it puts a trial into a pack twice")


def those_that_go_on(event: Extended, by_name: Mapping[str, Trial]) -> dict[str, list[Trial]]:
    """The trials that go on to a longer budget, by their packs.

    Raises:
        KeyError: There is none of a name.
    """
    found: dict[str, list[Trial]] = {}
    for trial in (by_name[name] for name in event.goes_on):
        if event.budget is None or trial.pack is None or trial.state is not TrialState.COMPLETE:
            raise ValueError(f"it goes on with {trial.name}, which is {trial.state}")
        found.setdefault(trial.pack, []).append(trial)
    return found


def in_pack(name: str, by_name: Mapping[str, Trial]) -> Trial:
    """A trial of which something is told that happens in a pack only.

    Raises:
        KeyError: There is none of this name.
    """
    trial = by_name[name]
    if trial.state.ended or trial.pack is None:
        raise ValueError(f"{name} goes on in it, which is {trial.state}")
    return trial


def those_that_leave(names: Sequence[str], pack: PackState) -> list[Trial]:
    """The trials of a pack that go on in another, because it has outgrown the memory."""
    running = pack.unended()
    leave = [trial for trial in running if trial.name in names]
    if len(leave) < len(names) or len(leave) == len(running):
        raise ValueError(f"it takes {', '.join(names)} out of {pack.name}, which has {len(running)} runs")
    return leave


def check_out(trials: Sequence[Trial], pack: PackState) -> None:
    """See that trials of a pack, whose training has ended, have failed and can be trained again."""
    if pack.unended() or any(trial.pack != pack.name or trial.state not in OUT for trial in trials):
        raise ValueError(f"it trains {', '.join(trial.name for trial in trials)} again, which have not failed")


def original_of(number: int, replicate: int, *, trials: Mapping[int, Trial], replicates: Mapping[str, Trial]) -> Trial:
    """The trial of which another seed is to be trained."""
    of = trials.get(number)
    if of is None or not of.state.ended or not of.run:
        raise ValueError(f"it replicates {trial_name(number)}, which has not been trained")
    before = sum(other.number == number for other in replicates.values())
    if replicate != before + 1:
        raise ValueError(f"it makes {trial_name(number, replicate)} after {before} replicates")
    return of


def check_new_pack(name: str, trials: Sequence[object], packs: Mapping[str, PackState]) -> None:
    """See that a pack has the next name, and trials."""
    if name != pack_name(len(packs)) or not trials:
        raise ValueError(f"it makes {name} of {len(trials)} trials, after {len(packs)} packs")


def check_taken_out(trial: Trial, *, waits: bool) -> None:
    """See that a user can have taken a trial out: it had not ended, and was in a pack or waited as is told."""
    if trial.state.ended or trial.replicate or waits != (trial.pack is None):
        raise ValueError(f"it takes {trial.name} out, which is {trial.state}")
