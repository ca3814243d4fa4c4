"""What has happened in a sweep, rebuilt event by event from its journal."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import assert_never

from jobs.store import following
from jobs.store.events import (
    Asked,
    Ended,
    Event,
    Exhausted,
    Expired,
    Finished,
    Joined,
    Packed,
    Read,
    Refused,
    Replicated,
    Rerun,
    Resumed,
    Sized,
    Split,
    Started,
    Validated,
    damaged,
    read_events,
)
from jobs.store.extended import Extended
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.indices import Ranking, Waiting
from jobs.store.live import BEFORE_IT_BEGAN, Declined, Limited, Live, TakenOut
from jobs.store.names import pack_name
from jobs.store.promoted import Promoted
from jobs.store.states import ENDED, TrialState
from jobs.store.trial import PackState, Trial
from oplstm.episodes.measure import Measure


class SweepState:
    """Trials and decisions of a sweep; ``apply`` takes each event once, in order.

    What the coordinator asks for at every call is kept up to date here, so that no call looks at all trials.

    Args:
        measure: What trials are compared by.

    Attributes:
        trials: By number, one a configuration.
        replicates: More seeds of some of them, by name.
        by_name: Both by name.
        waiting: Those that are in no pack yet.
        packs: By name, in the order in which they were made.
        exhausted: Whether there is nothing more to ask for.
        resumes: How often it went on after a stop or a kill.
        ends: How many trials have ended, those that were trained again once more.
        outgrown: A trial of each pack that has run out of memory, and how many runs it is thought to hold.
        finished: Whether the sweep has ended.
        promotion: What ``promote`` picked last.
        promotions: How often it did.
        ends_at_promotion: ``ends`` when it did last; another where the sweep was extended since.
        extensions: What it was extended to, oldest first.
        live: What users have asked of it while it ran.
        told_at: The latest time at which anything was written, in Unix seconds.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self.trials: dict[int, Trial] = {}
        self.replicates: dict[str, Trial] = {}
        self.by_name: dict[str, Trial] = {}
        self.waiting = Waiting()
        self.packs: dict[str, PackState] = {}
        self.exhausted = self.finished = False
        self.resumes = self.ends = 0
        self.outgrown: list[tuple[Trial, int]] = []
        self.promotion: Promoted | None = None
        self.promotions = self.ends_at_promotion = 0
        self.extensions: list[Extended] = []
        self.live = Live()
        self.told_at = 0.0
        self._counts: Counter[TrialState] = Counter()
        self._placed: dict[str, Trial] = {}
        self._resting: dict[str, PackState] = {}
        self._running: dict[str, PackState] = {}
        self._ranking = Ranking()

    @classmethod
    def of(cls, folder: SweepFolder, header: Header) -> "SweepState":
        """The state on disk, whether or not the sweep is running.

        Raises:
            RequestError: Its journal is of another version.
            WorkError: Its journal is damaged.
        """
        state = cls(header.measure)
        deque(state.replay(folder.journal), maxlen=0)
        return state

    def replay(self, journal: Path) -> Iterator[Read]:
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
            yield read

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
            case Replicated():
                self._replicate(event)
            case Exhausted():
                self.exhausted = True
            case Packed():
                following.check_new_pack(event.pack, event.trials, self.packs)
                following.check_free(event.trials, self.by_name, resting=self._resting)
                pack = self.packs[event.pack] = self._resting[event.pack] = PackState(event.pack)
                self._put(pack, event.trials)
            case Sized():
                pack = self.packs[event.pack]
                following.check_free(event.trials, self.by_name, resting=self._resting)
                pack.capacity = event.capacity
                self._put(pack, event.trials)
                self._begin(pack)
            case Joined():
                pack = self.packs[event.pack]
                following.check_free(event.trials, self.by_name, resting=self._resting)
                pack.joins[event.update] = event.trials
                pack.reach(event.update)
                self._put(pack, event.trials, event.update)
            case Expired():
                pack = self.packs[event.pack]
                pack.expired[event.update] = tuple(self.by_name[name].name for name in event.trials)
                pack.reach(event.update)
            case Split():
                self._split(event)
            case Rerun():
                self._rerun(event)
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
                self.by_name[event.picked]
                self.promotion, self.promotions = event, self.promotions + 1
                self.ends_at_promotion = self.ends
            case TakenOut():
                self._take_out(event)
            case Limited() | Declined():
                self.live.take(event)
            case Extended():
                self._extend(event)
            case _:
                assert_never(event)

    def _split(self, event: Split) -> None:
        pack = self.packs[event.pack]
        running, leave = pack.unended(), following.those_that_leave(event.trials, pack)
        self._part(pack, event.into, leave)
        self.outgrown.append((leave[0], len(running) - len(running) // 2))

    def _rerun(self, event: Rerun) -> None:
        pack, trials = self.packs[event.pack], [self.by_name[name] for name in event.trials]
        following.check_out(trials, pack)
        self._part(pack, event.into, trials)
        self.finished = False
        self._reopen(trials)

    def _reopen(self, trials: Sequence[Trial]) -> None:
        """Trials that had ended go on."""
        for trial in trials:
            self._set(trial, TrialState.STOPPED)
            self._placed[trial.name] = trial
            self._ranking.add(trial)

    def _extend(self, event: Extended) -> None:
        of_packs = following.those_that_go_on(event, self.by_name)
        self.extensions.append(event)
        self.exhausted = self.finished = False
        self.ends_at_promotion = -1  # its choice was between others
        for pack, trials in of_packs.items():
            name = pack_name(len(self.packs))
            self.packs[name] = self.packs[pack].go_on(name, trials, budget=event.budget or 0)
            self._reopen(trials)

    def _part(self, pack: PackState, name: str, trials: Sequence[Trial]) -> None:
        """Trials leave a pack for a new one."""
        following.check_new_pack(name, trials, self.packs)
        new = self.packs[name] = pack.part(name)
        for trial in trials:
            pack.remove(trial)
            new.add(trial)
            trial.pack = name

    def _ask(self, event: Asked) -> None:
        following.check_next(event.trial, self.trials)
        trial = Trial(event.trial, event.params, event.run, self._measure, added=event.added)
        self.trials[trial.number] = self.by_name[trial.name] = trial
        self.waiting.add(trial)
        self.live.add(event.added, trial.name)
        self._counts[trial.state] += 1

    def _replicate(self, event: Replicated) -> None:
        of = following.original_of(event.trial, event.replicate, trials=self.trials, replicates=self.replicates)
        trial = Trial(of.number, of.params, event.run, self._measure, replicate=event.replicate)
        self.replicates[trial.name] = self.by_name[trial.name] = trial
        self.waiting.add(trial)
        self.finished = False

    def _refuse(self, event: Refused) -> None:
        following.check_next(event.trial, self.trials)
        trial = Trial(event.trial, event.params, {}, self._measure, state=event.state, note=event.reason)
        self.trials[trial.number] = self.by_name[trial.name] = trial
        self._counts[trial.state] += 1

    def _put(self, pack: PackState, names: Sequence[str], update: int | None = None) -> None:
        """Trials come into a pack: from waiting, or from a pack that no process has begun."""
        for name in names:
            trial = self.by_name[name]
            if trial.pack is not None:
                self.packs[trial.pack].remove(trial)
            self.waiting.take(trial)
            pack.add(trial)
            self._placed[trial.name] = trial
            trial.pack, trial.joined = pack.name, update
            self._set(trial, TrialState.RUNNING)

    def _set(self, trial: Trial, state: TrialState) -> None:
        if not trial.replicate:
            self._counts[trial.state] -= 1
            self._counts[state] += 1
        trial.state = state

    def _begin(self, pack: PackState) -> None:
        self._resting.pop(pack.name, None)
        self._running[pack.name] = pack

    def _validate(self, event: Validated) -> None:
        trial = following.in_pack(event.trial, self.by_name)
        trial.points.append({"update": event.update, **event.metrics})
        trial.updates.add(event.update)
        trial.milestone = event.milestone
        if event.prune:
            trial.pruned_at.add(event.update)
        self._reach(trial, event.update)
        self._ranking.add(trial)

    def _reach(self, trial: Trial, update: int) -> None:
        """A trial has made so many updates of its own."""
        if trial.pack is not None:
            self.packs[trial.pack].reach((trial.joined or 0) + update)

    def _end(self, event: Ended) -> None:
        trial = following.in_pack(event.trial, self.by_name)
        self._set(trial, event.state)
        trial.end(event)
        self._reach(trial, event.update)
        if trial.state.ended and trial.pack is not None:
            self.ends += 1
            pack = self.packs[trial.pack]
            pack.end(trial)
            self._placed.pop(trial.name, None)
            if not pack.unended():
                self._running.pop(pack.name, None)
                self._resting.pop(pack.name, None)

    def _take_out(self, event: TakenOut) -> None:
        trial = self.by_name[event.trial]
        following.check_taken_out(trial, waits=event.waits)
        trial.taken_out = True
        self.live.take(event)
        if event.waits:
            self.waiting.take(trial)
            self._set(trial, TrialState.PRUNED)
            trial.note = BEFORE_IT_BEGAN

    def counts(self) -> Counter[TrialState]:
        """Trials by state, without replicates."""
        return +self._counts

    @property
    def ended(self) -> int:
        """How many trials have ended, without replicates."""
        return sum(self._counts[state] for state in ENDED)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do: all trials have ended, there will be no more, and so it is with replicates."""
        return self.exhausted and all(trial.state.ended for trial in self.by_name.values())

    @property
    def fraction(self) -> float:
        """The work that is done, in trials, without replicates."""
        return self.ended + sum(trial.fraction for trial in self._placed.values() if not trial.replicate)

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
        return self._ranking.leader()

    def unfinished_packs(self) -> dict[str, PackState]:
        """Packs that were interrupted or stopped, with all their trials.

        Those that have ended are among them: the last checkpoint may be from before their end, and a product's
        rounding depends on who shares the pack.
        """
        return {name: pack for name, pack in self.packs.items() if pack.unended()}
