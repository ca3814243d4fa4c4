"""Asking for the trials of a sweep: as many as are needed now, until too many points in a row give no run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from jobs.store.events import Asked, Exhausted, Refused
from jobs.store.header import Header
from jobs.store.state import SweepState
from jobs.sweep import tracked
from jobs.sweep.clock import Clock
from jobs.sweep.packing import PackPolicy
from jobs.sweep.proposals import Impossible, Proposals
from jobs.sweep.reported import Told
from search_spaces.samplers import is_adaptive

REFUSED_IN_A_ROW: Final = 20
"""So many impossible points one after the other are no accident."""


class Asking:
    """Asks for the trials of one sweep.

    Args:
        header: Of the sweep.
        state: Of the sweep, which is read and not changed.
        packing: Of the sweep.
        proposals: Of the sweep; None where only replicates are trained.
        clock: Of the sweep.
        provenance: Of this process.
        refused: How many of the last points were impossible.
    """

    def __init__(
        self,
        header: Header,
        *,
        state: SweepState,
        packing: PackPolicy,
        proposals: Proposals | None,
        clock: Clock,
        provenance: Mapping[str, str],
        refused: int,
    ) -> None:
        self._header, self._state, self._packing, self._proposals = header, state, packing, proposals
        self._clock, self._provenance, self._refused = clock, provenance, refused

    def until(self, count: int, give_up: Callable[[str], None]) -> Iterator[Told]:
        """Ask until so many trials wait; for all, if packs hold several and the sampler learns nothing from results.

        Each answer is to be written before the next is asked for.

        Args:
            count: How many.
            give_up: Told why the work cannot go on.
        """
        job = self._header.job
        everything = self._packing.size != 1 and not is_adaptive(job.sampler.name)
        while self._packing.asks and (everything or len(self._state.waiting.trials) < count):
            proposal = self._proposals.ask() if self._proposals is not None else None
            if proposal is None:
                yield Told((Exhausted(),), ())
                return
            if not isinstance(proposal, Impossible):
                self._refused = 0
                run = proposal.run.to_dict()
                event = Asked(trial=proposal.number, params=proposal.params, draws=proposal.draws, run=run)
                yield Told((event,), ())
                continue
            yield self._refuse(proposal)
            self._refused += 1
            if self._refused % REFUSED_IN_A_ROW == 0:  # and who resumes gets as many again
                give_up(f"{REFUSED_IN_A_ROW} points of {job.space} in a row gave no run; the last {proposal.reason}")
                return

    def _refuse(self, point: Impossible) -> Told:
        """A point of which the space makes no run is a trial that has ended."""
        event = Refused(
            trial=point.number, params=point.params, draws=point.draws, state=point.state, reason=point.reason
        )
        records = tracked.refused(self._header, event, provenance=self._provenance, now=self._clock.now())
        return Told((event,), tuple(records))
