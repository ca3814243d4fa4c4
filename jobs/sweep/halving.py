"""Packs that run out of memory: their halves go on one after the other, in the process that had the whole."""

from collections.abc import Iterator

from jobs.store.events import Split
from jobs.store.names import pack_name
from jobs.store.state import SweepState
from jobs.store.trial import PackState
from jobs.sweep.failures import Failures
from jobs.sweep.messages import Outgrown
from jobs.sweep.packing import PackPolicy


class Halving:
    """The rule by which packs of one sweep are halved.

    Args:
        state: Of the sweep, which is read and not changed.
        packing: Of the sweep.
        failures: Of its packs, which are told what a person should know.
    """

    def __init__(self, state: SweepState, packing: PackPolicy, failures: Failures) -> None:
        self._state, self._packing, self._failures = state, packing, failures

    def family(self, pack: PackState) -> Iterator[PackState]:
        """A pack, and those that have come out of it while it was trained, in the order in which they are."""
        yield pack
        for part in pack.parts:
            yield from self.family(part)

    def in_turn(self, name: str) -> PackState | None:
        """Who of the family of a pack is trained now or next; None when all are through."""
        packs = self.family(self._state.packs[name])
        return next((pack for pack in packs if pack.unended()), None)

    def is_free(self, pack: PackState) -> bool:
        """Whether a pack is nobody's who has still to be trained: else it follows that one, in its process."""
        while pack.origin is not None:
            pack = self._state.packs[pack.origin]
            if pack.unended():
                return False
        return True

    def split(self, pack: PackState) -> Split | None:
        """Every second run of a pack leaves it, the longer and the shorter alike; None where it has only one."""
        running = pack.unended()
        if len(running) < 2:
            return None
        leave, into = running[1::2], pack_name(len(self._state.packs))
        self._failures.forget(pack.name)
        self._failures.say(
            f"{pack.name} ran out of memory with {len(running)} runs: {len(leave)} of them go on after the others, "
            f"as {into}"
        )
        return Split(pack=pack.name, into=into, trials=tuple(trial.name for trial in leave))

    def outgrown(self, pack: PackState) -> Outgrown | None:
        """What is to be remembered of a pack that has just been split; None where sizes are not measured."""
        return None if self._packing.size else Outgrown(self._packing.question(pack), len(pack.unended()))
