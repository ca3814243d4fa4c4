"""What has happened in a sweep, rebuilt event by event from its journal."""

import heapq
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import assert_never

from jobs.store.events import (
    Asked,
    Ended,
    Event,
    Exhausted,
    Expired,
    Finished,
    Joined,
    Packed,
    Promoted,
    Refused,
    Resumed,
    Sized,
    Started,
    Validated,
    damaged,
    read_events,
)
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.names import pack_name, trial_name
from jobs.store.states import ENDED, OUT, TrialState
from jobs.store.trial import PackState, Trial
from oplstm.episodes.measure import Measure


class SweepState:
    """Trials and decisions of a sweep; ``apply`` takes each event once, in order.

    What the coordinator asks for at every call is kept up to date here, so that no call looks at all trials.

    Args:
        measure: What trials are compared by.

    Attributes:
        trials: By number.
        by_name: The same by name.
        packs: By name, in the order in which they were made.
        exhausted: Whether there is nothing more to ask for.
        resumes: How often it went on after a stop or a kill.
        finished: Whether the sweep has ended.
        promoted: Name of the trial that ``promote`` picked last.
        told_at: The latest time at which anything was written, in Unix seconds.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self.trials: dict[int, Trial] = {}
        self.by_name: dict[str, Trial] = {}
        self.packs: dict[str, PackState] = {}
        self.exhausted = False
        self.resumes = 0
        self.finished = False
        self.promoted: str | None = None
        self.told_at = 0.0
        self._counts: Counter[TrialState] = Counter()
        self._waiting: dict[int, Trial] = {}
        self._waiting_alike: dict[Hashable, dict[int, Trial]] = {}
        self._ungrouped: list[Trial] = []
        self._placed: dict[int, Trial] = {}
        self._resting: dict[str, PackState] = {}
        self._running: dict[str, PackState] = {}
        self._ranking: list[tuple[float, int]] = []

    @classmethod
    def of(cls, folder: SweepFolder, header: Header) -> "SweepState":
        """The state on disk, whether or not the sweep is running.

        Raises:
            RequestError: Its journal is of another version.
            WorkError: Its journal is damaged.
        """
        state = cls(header.measure)
        for _ in state.replay(folder.journal):
            pass
        return state

    def replay(self, journal: Path) -> Iterator[Event]:
        """Take in the events of a journal, and give each once it has been taken in.

        Raises:
            RequestError: The journal is of another version.
            WorkError: The journal is damaged; the message names the line.
        """
        for read in read_events(journal, self._told_at):
            try:
                self.apply(read.event)
            except KeyError as error:
                raise damaged(journal, read.line, f"it names {error}, which no line before it made") from error
            except ValueError as error:
                raise damaged(journal, read.line, str(error)) from error
            yield read.event

    def _told_at(self, time: float) -> None:
        self.told_at = max(self.told_at, time)

    def apply(self, event: Event) -> None:
        """Take in one event.

        Raises:
            KeyError: It names a trial or a pack that there is not; the argument is the name.
            ValueError: It cannot follow what was taken in before; nothing was taken in.
        """
        match event:
            case Asked():
                self._ask(event)
            case Refused():
                self._refuse(event)
            case Exhausted():
                self.exhausted = True
            case Packed():
                if event.pack != pack_name(len(self.packs)) or not event.trials:
                    raise ValueError(f"it makes {event.pack} of {len(event.trials)} trials, after {len(self.packs)}")
                self._check_free(event.trials)
                pack = self.packs[event.pack] = self._resting[event.pack] = PackState(event.pack)
                self._put(pack, event.trials)
            case Sized():
                pack = self.packs[event.pack]
                self._check_free(event.trials)
                pack.capacity = event.capacity
                self._put(pack, event.trials)
                self._begin(pack)
            case Joined():
                pack = self.packs[event.pack]
                self._check_free(event.trials)
                pack.joins[event.update] = event.trials
                pack.reach(event.update)
                self._put(pack, event.trials, event.update)
            case Expired():
                pack = self.packs[event.pack]
                pack.expired[event.update] = tuple(self.by_name[name].name for name in event.trials)
                pack.reach(event.update)
            case Started():
                pack = self.packs[event.pack]
                pack.device = event.device
                self._begin(pack)
                for trial in pack.unended():
                    self._set(trial, TrialState.RUNNING)
            case Validated():
                self._validate(event)
            case Ended():
                self._end(event)
            case Resumed():
                self.resumes += 1
            case Finished():
                self.finished = True
            case Promoted():
                self.promoted = self.by_name[event.picked].name
            case _:
                assert_never(event)

    def _check_free(self, names: Sequence[str]) -> None:
        """See that trials can come into a pack: they wait, or are in one that no process has begun."""
        for name in names:
            trial = self.by_name[name]
            if trial.state.ended or not (trial.pack is None or trial.pack in self._resting):
                raise ValueError(f"it puts {name} into a pack, which is {trial.state} already")
        if len(set(names)) < len(names):
            raise ValueError("it puts a trial into a pack twice")

    def _check_next(self, number: int) -> None:
        if number != len(self.trials):
            raise ValueError(f"it makes {trial_name(number)} after {len(self.trials)} trials")

    def _in_pack(self, name: str) -> Trial:
        """A trial of which something is told that happens in a pack only."""
        trial = self.by_name[name]
        if trial.state.ended or trial.pack is None:
            raise ValueError(f"{name} goes on in it, which is {trial.state}")
        return trial

    def _ask(self, event: Asked) -> None:
        self._check_next(event.trial)
        trial = Trial(event.trial, event.params, event.run, self._measure)
        self.trials[trial.number] = self.by_name[trial.name] = self._waiting[trial.number] = trial
        self._ungrouped.append(trial)
        self._counts[trial.state] += 1

    def _refuse(self, event: Refused) -> None:
        self._check_next(event.trial)
        trial = Trial(event.trial, event.params, {}, self._measure, state=event.state, note=event.reason)
        self.trials[trial.number] = self.by_name[trial.name] = trial
        self._counts[trial.state] += 1

    def _put(self, pack: PackState, names: Sequence[str], update: int | None = None) -> None:
        """Trials come into a pack: from waiting, or from a pack that no process has begun."""
        for name in names:
            trial = self.by_name[name]
            if trial.pack is not None:
                self.packs[trial.pack].remove(trial)
            if self._waiting.pop(trial.number, None) is not None and self._waiting_alike:
                self._waiting_alike.get(trial.signature, {}).pop(trial.number, None)
            pack.add(trial)
            self._placed[trial.number] = trial
            trial.pack, trial.joined = pack.name, update
            self._set(trial, TrialState.RUNNING)

    def _set(self, trial: Trial, state: TrialState) -> None:
        self._counts[trial.state] -= 1
        self._counts[state] += 1
        trial.state = state

    def _begin(self, pack: PackState) -> None:
        self._resting.pop(pack.name, None)
        self._running[pack.name] = pack

    def _validate(self, event: Validated) -> None:
        trial = self._in_pack(event.trial)
        trial.points.append({"update": event.update, **event.metrics})
        trial.updates.add(event.update)
        trial.milestone = event.milestone
        if event.prune:
            trial.pruned_at.add(event.update)
        self._reach(trial, event.update)
        if trial.best is not None:
            heapq.heappush(self._ranking, (trial.cost, trial.number))

    def _reach(self, trial: Trial, update: int) -> None:
        """A trial has made so many updates of its own."""
        if trial.pack is not None:
            self.packs[trial.pack].reach((trial.joined or 0) + update)

    def _end(self, event: Ended) -> None:
        trial = self._in_pack(event.trial)
        self._set(trial, event.state)
        trial.note, trial.best_update = event.note, event.best_update
        self._reach(trial, event.update)
        if trial.state.ended and trial.pack is not None:
            pack = self.packs[trial.pack]
            pack.end(trial)
            self._placed.pop(trial.number, None)
            if not pack.unended():
                self._running.pop(pack.name, None)
                self._resting.pop(pack.name, None)

    def counts(self) -> Counter[TrialState]:
        """Trials by state."""
        return +self._counts

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(self._counts[state] for state in ENDED)

    @property
    def fraction(self) -> float:
        """The work that is done, in trials."""
        return self.ended + sum(trial.fraction for trial in self._placed.values())

    @property
    def waiting(self) -> Mapping[int, Trial]:
        """Trials that are in no pack yet, in the order of their numbers."""
        return self._waiting

    def waiting_like(self, signature: Hashable) -> Mapping[int, Trial]:
        """Those of one signature."""
        for trial in self._ungrouped:
            if trial.number in self._waiting:
                self._waiting_alike.setdefault(trial.signature, {})[trial.number] = trial
        self._ungrouped.clear()
        return self._waiting_alike.get(signature, {})

    @property
    def resting_packs(self) -> list[PackState]:
        """Packs that no process has begun and that hold trials, the oldest first."""
        return [pack for pack in self._resting.values() if pack.unended()]

    @property
    def running_packs(self) -> list[PackState]:
        """Packs that a process has begun and that hold trials which have not ended."""
        return list(self._running.values())

    def leader(self) -> Trial | None:
        """The trial with the best validation so far."""
        while self._ranking:
            cost, number = self._ranking[0]
            trial = self.trials[number]
            if trial.cost == cost and trial.state not in OUT:
                return trial
            heapq.heappop(self._ranking)  # it is no longer so good, or out
        return None

    def leader_after(self, event: Ended) -> Trial | None:
        """The leader once ``event`` has been applied, which may take it out of the running."""
        leader = self.leader()
        if leader is None or leader.name != event.trial or event.state not in OUT:
            return leader
        others = (trial for trial in self.trials.values() if trial is not leader and trial.state not in OUT)
        return min((trial for trial in others if trial.best is not None), key=lambda trial: trial.cost, default=None)

    def unfinished_packs(self) -> dict[str, PackState]:
        """Packs that were interrupted or stopped, with all their trials.

        Those that have ended are among them: the last checkpoint may be from before their end, and a product's
        rounding depends on who shares the pack.
        """
        return {name: pack for name, pack in self.packs.items() if pack.unended()}
