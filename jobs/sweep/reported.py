"""What the reports of packs become: events for the journal, records for MLflow, values for the study."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.store.events import Ended, Event, Validated
from jobs.store.header import Header
from jobs.store.indices import leader_after
from jobs.store.live import BY_HAND
from jobs.store.memory import Memory
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.sweep import tracked
from jobs.sweep.clock import Clock
from jobs.sweep.proposals import Proposals
from oplstm.training.reports import Point, RunEnd
from tracking.outbox.records import Record


@dataclass(frozen=True)
class Told:
    """What is to be written together.

    Attributes:
        events: For the journal.
        records: For MLflow.
        prune: Names of the runs to prune.
    """

    events: tuple[Event, ...]
    records: tuple[Record, ...]
    prune: tuple[str, ...] = ()


class Reports:
    """The reports of one sweep's packs.

    Args:
        header: Of the sweep.
        state: Of the sweep, which is read and not changed.
        proposals: Of the sweep, which learn the values and ends of all but replicates; None where
            only those are trained.
        clock: Of the sweep.
    """

    def __init__(self, header: Header, state: SweepState, *, proposals: Proposals | None, clock: Clock) -> None:
        self._header, self._state, self._proposals, self._clock = header, state, proposals, clock
        self._value = f"val/{header.measure.name}"

    def points(self, points: Sequence[Point]) -> Told:
        """Of validation points: those that are new, and whom to prune; a repeat is answered as before."""
        events: list[Event] = []
        records, prune, now = [], [], self._clock.now()
        for point in points:
            trial = self._state.by_name[point.run]
            known = point.update in trial.updates
            if known or trial.state.ended:
                wanted = not known or point.update in trial.pruned_at
            else:
                value = point.metrics[self._value]
                wanted = self._prunes(trial, value, point.milestone)
                metrics = {name: value for name, value in point.metrics.items() if math.isfinite(value)}
                events.append(
                    Validated(
                        trial=trial.name, update=point.update, milestone=point.milestone, metrics=metrics, prune=wanted
                    )
                )  # fmt: skip
                records.append(tracked.point(self._header, trial, update=point.update, metrics=metrics, now=now))
            if wanted:
                prune.append(point.run)
        return Told(tuple(events), tuple(records), tuple(prune))

    def _prunes(self, trial: Trial, value: float, milestone: int) -> bool:
        if self._proposals is None or trial.replicate:
            return False
        return self._proposals.decide(trial.number, value, milestone, total=trial.total) or trial.taken_out

    def end(self, trial: Trial, end: RunEnd, state: TrialState) -> Told:
        """Of a run that has ended, or stopped, in this state."""
        now = self._clock.now()
        ranked = state.ended and not trial.replicate
        if ranked and self._proposals is not None:
            self._proposals.tell(trial.number, state, end.metrics.get("val/best", self._header.measure.worst))
        most = Memory.most(trial.memory, Memory.of(end.metrics))  # an earlier process may have taken more
        metrics = end.metrics | (most.metrics() if most is not None else {})
        note = BY_HAND if trial.taken_out and state is TrialState.PRUNED else end.note
        event = Ended(
            trial=trial.name, state=state, update=end.update, best_update=end.best_update, note=note,
            metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        )  # fmt: skip
        records = tracked.end(self._header, trial, event, now=now, budget_exhausted=end.budget_exhausted)
        if ranked:
            leader, ends = leader_after(event, self._state.leader(), self._state.trials.values()), self._state.ends + 1
            records += tracked.best_so_far(self._header, leader, ends=ends, now=now)
        return Told((event,), tuple(records))
