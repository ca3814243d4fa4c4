"""Which trials may come into a pack, and how many are its fair share: pure functions of a sweep's state.

Every slot of the cluster should have a pack for as long as there is work. So a pack that begins takes its share of
the trials of its signature, and a running one takes in more only when no slot is without a pack.
"""

import math
from collections.abc import Sequence

from jobs.store.state import PackState, SweepState, Trial
from jobs.sweep.pack_sizes import weight


def candidates(state: SweepState, pack: PackState) -> list[Trial]:
    """Trials that may come into ``pack``: those that wait, then those of packs that no process has begun."""
    signature = pack.trials[0].signature
    resting = [trial for other in reversed(state.resting_packs) if other is not pack
               for trial in other.unended() if trial.signature == signature]  # fmt: skip
    return [*state.waiting_like(signature).values(), *resting]


def share_of_new_pack(state: SweepState, pack: PackState, trials: int, slots: int) -> int:
    """Runs that a pack which begins should hold, its own among them, if so many ``trials`` could be in it."""
    others = sum(other is not pack for other in state.running_packs)
    return math.ceil(trials / max(1, slots - others))


def share_of_running_pack(state: SweepState, trials: int, slots: int) -> int:
    """How many of so many ``trials`` a running pack should take in: none while a slot is free for a pack of theirs."""
    return 0 if len(state.running_packs) < slots else math.ceil(trials / slots)


def heaviest(trials: Sequence[Trial]) -> Trial:
    """The trial that takes the most memory and time beside others of its signature."""
    return max(trials, key=lambda trial: (weight(trial.config), -trial.number))
