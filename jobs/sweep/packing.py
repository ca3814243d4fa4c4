"""What shares a pack: who may come in, how many, and what is to be measured first. It decides nothing but that.

Every slot of the cluster should have a pack for as long as there is work. So a pack that begins takes its share of
the trials of its signature, and a running one takes in more only when no slot is without a pack.
"""

import itertools
import math
from collections.abc import Sequence

from jobs.jobfile.schema import Job
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import PackState, Trial
from jobs.sweep.messages import Measurement
from oplstm.training.run import RunConfig


class PackPolicy:
    """The rule by which the trials of one sweep are put into packs.

    Args:
        job: Its job.
        state: Its state, which is read and not changed.
    """

    def __init__(self, job: Job, state: SweepState) -> None:
        self._job, self._state = job, state
        self.size = pack_size(job)

    def unasked(self) -> int:
        """How many more trials may be asked for."""
        return 0 if self._state.exhausted else (self._job.trial_limit or 0) - len(self._state.trials)

    def capacity(self, pack: PackState) -> int | None:
        """Runs that a pack can hold; None where that is to be measured."""
        return self.size or pack.capacity

    def members_of_new_pack(self) -> list[Trial]:
        """The oldest trial that waits, and as many like it as a pack of fixed size holds; none where none waits."""
        first = next(iter(self._state.waiting.values()), None)
        if first is None:
            return []
        return list(itertools.islice(self._state.waiting_like(first.signature).values(), self.size or 1))

    def measurement(self, pack: PackState) -> Measurement | None:
        """What is to be measured before a pack begins."""
        if self.capacity(pack) is not None:
            return None
        trials = [*pack.trials, *candidates(self._state, pack)]
        return Measurement(heaviest(trials).config, len(trials) + self.unasked())

    def share_of_new_pack(self, pack: PackState, capacity: int, slots: int) -> int:
        """How many trials should come into a pack of so much ``capacity`` that begins, beside its own."""
        own = len(pack.trials)
        return min(capacity, share_of_new_pack(self._state, pack, own + self._possible(pack), slots)) - own

    def share_of_running_pack(self, pack: PackState, room: int, slots: int) -> int:
        """How many trials should come into a running pack that has ``room``."""
        return min(room, share_of_running_pack(self._state, self._possible(pack), slots))

    def _possible(self, pack: PackState) -> int:
        """How many more trials could come into a pack; what is not asked for yet may be of its signature."""
        others = candidates(self._state, pack)
        if self._state.exhausted:
            return len(others)
        resting = [trial for trial in others if trial.state is not TrialState.WAITING]
        return len(resting) + len(self._state.waiting) + self.unasked()


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


def weight(run: RunConfig) -> tuple[int, int, int]:
    """How heavy a run is beside others of its signature: T x B, then each."""
    passes = run.passes(training=True)
    return passes * run.meta_batch_size, passes, run.meta_batch_size


def pack_size(job: Job) -> int | None:
    """Runs in a pack; None where that is measured. The seeds of one configuration always make one pack."""
    if job.space is None:
        return job.seeds
    return None if job.resources.pack == "auto" else job.resources.pack
