"""What shares a pack: who may come in, how many, and what is to be measured first. It decides nothing but that.

Every slot of the cluster should have a pack for as long as there is work, and all slots should be through together. So
a pack that begins takes its share of the predicted cost of the trials of its signature, and a running one takes in
more only when no slot is without a pack. Points under ``enqueue``, and those that users add, come first, then the
longest runs. Where a sampler learns from results, trials are asked for as they are needed, and come in that order and
by their number.
"""

import math
import sys
from collections.abc import Hashable, Iterable

from jobs.jobfile.schema import Job
from jobs.jobfile.sections import MOST_RUNS
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import PackState, Trial
from jobs.sweep.dealing import Hand, deal
from jobs.sweep.messages import Measurement
from oplstm.training.machine.cost import cost, representatives
from search_spaces.samplers import is_adaptive


class PackPolicy:
    """The rule by which the trials of one sweep are put into packs.

    Args:
        job: Its job.
        state: Its state, which is read and not changed.
        replicates_only: Whether trials of the sweep itself are left alone.
    """

    def __init__(self, job: Job, state: SweepState, *, replicates_only: bool = False) -> None:
        self._job, self._state, self._replicates_only = job, state, replicates_only
        self.size = pack_size(job)
        self._by_number = job.space is not None and is_adaptive(job.sampler.name)
        self._costs: dict[str, float] = {}

    @property
    def asks(self) -> bool:
        """Whether more trials may be asked for."""
        return not (self._state.exhausted or self._replicates_only)

    def unfinished(self) -> list[PackState]:
        """Packs that were interrupted or stopped and are to be gone on with."""
        packs = self._state.unfinished_packs().values()
        return [pack for pack in packs if pack.trials[0].replicate or not self._replicates_only]

    def unasked(self) -> int:
        """How many more trials may be asked for."""
        return (self._job.trial_limit or 0) - len(self._state.trials) + self._state.live.added if self.asks else 0

    def may_begin(self, idle: Iterable[PackState]) -> int:
        """How many more trials may begin, where a user has limited how many train at once.

        Args:
            idle: Packs that were begun and that nobody trains yet.
        """
        limit = None if self._replicates_only else self._state.live.limit
        if limit is None:
            return sys.maxsize
        resting = {pack.name for pack in idle}
        packs = [*self._state.running_packs, *self._state.resting_packs]
        return max(0, limit - sum(len(pack.unended()) for pack in packs if pack.name not in resting))

    def capacity(self, pack: PackState) -> int | None:
        """Runs that a pack can hold; None where that is to be measured."""
        size = (self._size(pack.trials[0]) if pack.trials else self.size) or pack.capacity
        return None if size is None or not pack.trials else self.fitting(pack.trials[0].signature, size)

    def _size(self, trial: Trial) -> int | None:
        """Runs in a pack of it at most: more seeds of a few configurations share one whatever ``pack`` says."""
        return MOST_RUNS if trial.replicate and self.size is not None else self.size

    def fitting(self, signature: Hashable, size: int) -> int:
        """``size``, or fewer where packs of this signature have run out of memory."""
        return min([size, *(runs for trial, runs in self._state.outgrown if trial.signature == signature)])

    def members_of_new_pack(self, slots: int) -> list[Trial]:
        """The trials with which a new pack is made; none where none waits.

        The first that waits, with its share of those like it where packs are of fixed size.

        Args:
            slots: How many packs are trained at once.
        """
        waiting = list(self._state.waiting.trials.values())
        if self._replicates_only:
            waiting = [trial for trial in waiting if trial.replicate]
        if not waiting:
            return []
        first = waiting[0] if self._by_number else min(waiting, key=self._order)
        others = [trial for trial in self._ordered(self._state.waiting.like(first.signature).values())
                  if trial is not first]  # fmt: skip
        size = self.fitting(first.signature, self._size(first) or 1)
        free = slots - len(self._state.running_packs) - len(self._state.resting_packs)
        alone = self._job.space is None or first.replicate > 0
        packs = 1 + len(others) if alone else math.ceil((1 + len(others)) / size)
        new = [Hand(self._cost(first), size - 1), *[Hand(0.0, size)] * (min(free, packs) - 1)]
        return [first, *self._dealt(others, new)]

    def measurement(self, pack: PackState) -> Measurement | None:
        """What is to be measured before a pack begins."""
        if self.capacity(pack) is not None:
            return None
        return self.question(pack)

    def question(self, pack: PackState) -> Measurement:
        """How many runs like those that are or may come into a pack can it hold?"""
        trials = [*pack.trials, *self.candidates(pack)]
        return Measurement(representatives([trial.config for trial in trials]), len(trials) + self.unasked())

    def to_ask_for_new_pack(self, pack: PackState, capacity: int, slots: int) -> int:
        """How many trials should wait for a pack of so much ``capacity`` that begins, so that it is filled."""
        own = len(pack.trials)
        share = math.ceil((own + self._possible(pack)) / self._free(pack, slots))
        return max(0, min(capacity, share) - own)

    def fill(self, pack: PackState, capacity: int, *, slots: int, share: int) -> list[Trial]:
        """The trials that come into a pack before its first update.

        Args:
            pack: It.
            capacity: Runs that it can hold.
            slots: How many packs are trained at once.
            share: The answer of ``to_ask_for_new_pack``.
        """
        others = self._ordered(self.candidates(pack))
        if self._by_number:
            return others[:share]
        new = [Hand(self._left(pack), capacity - len(pack.trials))]
        new += [Hand(0.0, capacity)] * (self._free(pack, slots) - 1)
        return self._dealt(others, [*new, *self._running_like(pack)])

    def to_ask_for_running_pack(self, pack: PackState, room: int, slots: int) -> int:
        """How many trials should wait for a running pack that has ``room``: none while a slot is free for a pack."""
        if len(self._state.running_packs) < slots:
            return 0
        return min(room, math.ceil(self._possible(pack) / slots))

    def join(self, pack: PackState, room: int, *, share: int) -> list[Trial]:
        """The trials that come into a running pack that has ``room``; for ``share`` see ``to_ask_for_running_pack``."""
        others = self._ordered(self.candidates(pack))
        if self._by_number or not share:
            return others[:share]
        return self._dealt(others, [Hand(self._left(pack), room), *self._running_like(pack)])

    def candidates(self, pack: PackState) -> list[Trial]:
        """Trials that may come into a pack: those that wait, then those of packs that no process has begun."""
        signature = pack.trials[0].signature
        resting = [trial for other in reversed(self._state.resting_packs) if other is not pack
                   for trial in other.unended() if trial.signature == signature]  # fmt: skip
        return [*self._state.waiting.like(signature).values(), *resting]

    def _possible(self, pack: PackState) -> int:
        """How many more trials could come into a pack; what is not asked for yet may be of its signature."""
        others = self.candidates(pack)
        if self._state.exhausted:
            return len(others)
        resting = [trial for trial in others if trial.state is not TrialState.WAITING]
        return len(resting) + len(self._state.waiting.trials) + self.unasked()

    def _free(self, pack: PackState, slots: int) -> int:
        """Slots for packs that no process has begun, this one among them."""
        return max(1, slots - sum(other is not pack for other in self._state.running_packs))

    def _running_like(self, pack: PackState) -> list[Hand]:
        """What the others have that run and could take the same trials."""
        signature = pack.trials[0].signature
        return [
            Hand(self._left(other), (self.capacity(other) or 0) - len(other.unended()))
            for other in self._state.running_packs
            if other is not pack and other.trials[0].signature == signature
        ]

    def _ordered(self, trials: Iterable[Trial]) -> list[Trial]:
        return list(trials) if self._by_number else sorted(trials, key=self._order)

    def _order(self, trial: Trial) -> tuple[bool, float, int]:
        return trial.number >= len(self._job.enqueue) and trial.added is None, -self._cost(trial), trial.number

    def _dealt(self, trials: list[Trial], hands: list[Hand]) -> list[Trial]:
        """What the first of the hands gets."""
        places = deal([self._cost(trial) for trial in trials], hands)[0]
        return [trials[place] for place in places]

    def _cost(self, trial: Trial) -> float:
        if trial.name not in self._costs:
            self._costs[trial.name] = cost(trial.config)
        return self._costs[trial.name]

    def _left(self, pack: PackState) -> float:
        """The predicted cost of what a pack has still to do."""
        return sum(self._cost(trial) * (1 - trial.fraction) for trial in pack.unended())


def pack_size(job: Job) -> int | None:
    """Runs in a pack at most; None where that is measured. The seeds of one configuration have packs of any size."""
    if job.space is None:
        return job.seeds
    return None if job.resources.pack == "auto" else job.resources.pack
