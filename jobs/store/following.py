"""What an event may say of trials after those before it; each raises a ValueError where it may not."""

from collections.abc import Container, Mapping, Sequence

from jobs.store.names import trial_name
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


def in_pack(name: str, by_name: Mapping[str, Trial]) -> Trial:
    """A trial of which something is told that happens in a pack only.

    Raises:
        KeyError: There is none of this name.
    """
    trial = by_name[name]
    if trial.state.ended or trial.pack is None:
        raise ValueError(f"{name} goes on in it, which is {trial.state}")
    return trial
