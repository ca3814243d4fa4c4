"""What an event may say of trials after those before it; each raises a ValueError where it may not."""

from collections.abc import Container, Mapping, Sequence

from jobs.store.extended import Extended
from jobs.store.names import trial_name
from jobs.store.states import TrialState
from jobs.store.trial import Trial


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
