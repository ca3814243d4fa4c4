"""The coordinator: the only owner and writer of a sweep's study, journal and outbox.

Every decision (what to train, what shares a pack, what to prune) is journaled before it takes effect, and a
coordinator is rebuilt from the journal; so a resumed sweep repeats its decisions and never changes them.
"""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress

from jobs.store.events import Event, Expired, Finished, Joined, Packed, Resumed, Sized, Started, encode
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.names import pack_name
from jobs.store.provenance import provenance
from jobs.store.scores import final_result
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from jobs.store.trial import PackState, Trial, names_of
from jobs.sweep import tracked
from jobs.sweep.asking import Asking
from jobs.sweep.clock import Clock
from jobs.sweep.failures import ALONE, Failures
from jobs.sweep.halving import Halving
from jobs.sweep.messages import Assignment, NamedRun, Outgrown, Progress, StartedPack, progress_of
from jobs.sweep.packing import PackPolicy
from jobs.sweep.proposals import Proposals
from jobs.sweep.rebuilding import rebuild
from jobs.sweep.reported import Reports, Told
from jobs.sweep.requested import Requested
from oplstm.durable import sync
from oplstm.errors import RequestError, WorkError, one_line
from oplstm.training.hours import Expiries
from oplstm.training.reports import Point, RunEnd
from tracking.journal.journal import Journal
from tracking.outbox.outbox import Outbox
from tracking.outbox.records import Record

FLUSH_SECONDS = 30.0
EMBEDDED_FLUSH_SECONDS = 120.0
"""The embedded server may still be starting when a short training has ended."""


class Coordinator:
    """Decides, records and tracks. An ordinary object for one process, a Ray actor for a sweep.

    Args:
        folder: The sweep's folder, with its header.
        tracking_uri: Of the MLflow server, or a function that returns it and may fail while the server starts.
        replicates_only: Whether trials of the sweep itself are left as they are.

    Raises:
        RequestError: Another process runs this sweep, or its job or space is not one that it can go on with.
        WorkError: Its journal is damaged.
    """

    def __init__(
        self, folder: SweepFolder, tracking_uri: str | Callable[[], str], *, replicates_only: bool = False
    ) -> None:
        self.folder, self.header = folder, Header.read(folder)
        self.job, self._is_final = self.header.job, self.header.kind is SweepKind.FINAL
        self._provenance = provenance()
        self._slots, self._clock = 1, Clock()
        self._failure: str | None = None
        self._failures = Failures(folder, 1 + self.job.resources.retries)
        self.state = SweepState(self.header.measure)
        self._packing = PackPolicy(self.job, self.state, replicates_only=replicates_only)
        self._halving = Halving(self.state, self._packing, self._failures)
        self._journal = Journal(folder.journal)
        try:
            self._begin(replicates_only)
        except BaseException:
            self._journal.close()  # or it would stay locked for as long as this process lives
            raise
        self._unfinished = deque(self._packing.unfinished())  # oldest first, as they were handed out before
        self._outbox = Outbox(folder.journal, tracking_uri)
        self._outbox.start()

    def _begin(self, replicates_only: bool) -> None:
        """Put the study and the state where the journal left them; raises what ``__init__`` does."""
        self._proposals = None if replicates_only else self._new_study()  # replicates need neither study nor space
        is_new, refused = next(Journal.read(self.folder.journal), None) is None, 0
        if self._proposals is None:
            deque(self.state.replay(self.folder.journal), maxlen=0)
        elif not is_new:
            refused = rebuild(self.folder, self.header, state=self.state, proposals=self._proposals)
        self._clock = Clock(self.state.told_at)
        self._reports = Reports(self.header, self.state, proposals=self._proposals, clock=self._clock)
        self._asking = Asking(
            self.header, state=self.state, packing=self._packing, proposals=self._proposals, clock=self._clock,
            provenance=self._provenance, refused=refused,
        )  # fmt: skip
        self._requested = None if self._proposals is None else Requested(
            self.folder, self.header, state=self.state, proposals=self._proposals, failures=self._failures,
            clock=self._clock, new_runs=self._new_runs,
        )  # fmt: skip
        if is_new:
            self._write(tracked=[tracked.sweep_run(self.header, self._clock.now())])
        else:
            self._reopen()

    def _new_study(self) -> Proposals:
        try:
            return Proposals(self.job, self.folder.study, name=self.header.name, final=self._is_final)
        except (ValueError, KeyError, TypeError) as error:  # of what only an altered header can hold
            raise RequestError(f"{self.folder.header}: {one_line(error)}") from error

    def _reopen(self) -> None:
        """The sweep goes on, and so do the runs of its unfinished packs; nothing does where all has ended."""
        if not self.state.finished:
            unended = [trial for pack in self._packing.unfinished() for trial in pack.unended()]
            number = self.state.resumes + 1
            reopened = tracked.reopened(self.header, unended, number=number, provenance=self._provenance)
            self._write(Resumed(provenance=self._provenance), tracked=reopened)

    def _write(self, *events: Event, tracked: Sequence[Record] = ()) -> None:
        """Journal first, then take effect; a WorkError once the journal cannot be written or the work has failed."""
        if self._failure is not None:
            raise WorkError(self._failure)
        try:
            now = self._clock.now()
            records = [*map(encode, events), *(record.encode() for record in tracked)]
            self._journal.append([record | {"time": now} for record in records])
        except WorkError as error:
            self.give_up(str(error))
            raise
        for event in events:
            self.state.apply(event)

    def next_pack(self, slots: int = 1) -> Assignment | None:
        """The next pack to train, or None when nothing is left or a stop was asked for.

        Args:
            slots: How many packs are trained at once.
        """
        self._slots = slots
        if self.stopping():
            return None
        self._take_up()
        while self._unfinished:
            if self._holds_back():
                return None
            pack = self._unfinished.popleft()
            if pack.unended() and self._halving.is_free(pack):  # others may have taken them
                return self._assignment(pack)
        self._ask_for(self._packing.size or 1)
        trials = self._packing.members_of_new_pack(slots)[: self._may_begin()]
        if not trials or self._failure is not None:
            return None
        name = pack_name(len(self.state.packs))
        self._write(Packed(pack=name, trials=names_of(trials)), tracked=self._new_runs(trials))
        return self._assignment(self.state.packs[name])

    def _holds_back(self) -> bool:
        """Whether the next pack waits until others are through, because a user has limited how many trials train."""
        wanted = len(self._unfinished[0].unended()) if self._unfinished else 1
        return self._may_begin() < min(wanted, self.state.live.limit or wanted)

    def _may_begin(self) -> int:
        return self._packing.may_begin(self._unfinished)

    def _assignment(self, pack: PackState) -> Assignment:
        return Assignment(pack.name, names_of(pack.trials), self._packing.measurement(pack))

    def _new_runs(self, trials: Sequence[Trial]) -> list[Record]:
        """Records that create the runs of trials that come into a pack for the first time."""
        make = functools.partial(
            tracked.trial_run, self.header, provenance=self._provenance, data=self.folder.data, now=self._clock.now()
        )
        return [make(trial) for trial in trials if trial.pack is None]

    def _ask_for(self, count: int) -> None:
        """Ask until so many trials wait."""
        self._write_each(self._asking.until(count, self.give_up))

    def _write_each(self, told: Iterable[Told]) -> None:
        """One after the other: each takes effect before the next is thought of."""
        for one in told:
            self._write(*one.events, tracked=one.records)

    def _take_up(self) -> None:
        """What users ask of the sweep takes effect; what was taken up is on the disk before its request goes."""
        if self._requested is not None and not self.stopping():
            with suppress(WorkError):  # then the work has failed
                for told in self._requested.told():
                    self._write(*told.events, tracked=told.records)
                    self.settle()

    def sized(self, name: str, capacity: int) -> None:
        """It was measured how many runs a pack can hold: fill it with its fair share. A repeat changes nothing."""
        pack = self.state.packs[name]
        if self._packing.capacity(pack) is not None or not pack.unended():
            return
        capacity = self._packing.fitting(pack.trials[0].signature, capacity)
        share = self._packing.to_ask_for_new_pack(pack, capacity, self._slots)
        self._ask_for(share)
        trials = self._packing.fill(pack, capacity, slots=self._slots, share=share)[: self._may_begin()]
        self._write(Sized(pack=name, capacity=capacity, trials=names_of(trials)), tracked=self._new_runs(trials))

    def joins(self, name: str, update: int, room: int) -> tuple[NamedRun, ...]:
        """Trials that come into a pack at one of its updates. A repeat is answered as before.

        An empty answer is written too, unless it could not have been another.
        """
        pack = self.state.packs[name]
        if update not in pack.joins:
            most = (self._packing.capacity(pack) or room) - len(pack.unended())
            room = max(0, min(room, most, self._may_begin()))
            share = self._packing.to_ask_for_running_pack(pack, room, self._slots)
            self._ask_for(share)
            trials = self._packing.join(pack, room, share=share)
            if update < pack.reached:  # nobody joined here before a user added one, nor does when it is repeated
                trials = [trial for trial in trials if trial.added is None]
            if trials or self._packing.candidates(pack) or not self.state.exhausted:
                placed = tracked.placed(self.header, pack, [*pack.unended(), *trials]) if trials else []
                event = Joined(pack=name, update=update, trials=names_of(trials))
                self._write(event, tracked=[*self._new_runs(trials), *placed])
        return tuple(NamedRun.of(self.state.by_name[joined]) for joined in pack.joins.get(update, ()))

    def started(self, name: str, device: dict[str, str]) -> StartedPack | None:
        """A process has begun to train a pack on a device that these tags describe; None if nothing is left of it."""
        pack = self.state.packs[name]
        if not pack.unended():
            return None
        placed = tracked.placed(self.header, pack, pack.unended(), device=device)
        self._write(Started(pack=name, device=device), tracked=placed)
        runs, expiries = tuple(NamedRun.of(trial) for trial in pack.trials), Expiries(dict(pack.expired), pack.reached)
        parts = tuple(part.name for part in pack.parts if part.unended())
        initial = names_of(pack.unended() if pack.parts or pack.origin or pack.extended else pack.initial)
        return StartedPack(runs, initial, self._packing.capacity(pack), expiries, pack.origin, parts, pack.extended)

    def expired(self, name: str, update: int, trials: Sequence[str]) -> None:
        """The hours of trials are over at an update of their pack, where they end. A repeat changes nothing."""
        if update not in self.state.packs[name].expired:
            self._write(Expired(pack=name, update=update, trials=tuple(trials)))

    def on_points(self, points: Sequence[Point]) -> list[str]:
        """Record validation points; returns the names of the runs to prune. Answers a repeat as it did before."""
        told = self._reports.points(points)
        if told.events:
            self._write(*told.events, tracked=told.records)
        return list(told.prune)

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Record that runs have ended; a repeat changes nothing."""
        for end in ends:
            trial = self.state.by_name[end.run]
            if not trial.state.ended:
                self._end(trial, end, TrialState(end.state))

    def _end(self, trial: Trial, end: RunEnd, state: TrialState) -> None:
        if state is TrialState.COMPLETE:
            self._failures.succeeded()
        told = self._reports.end(trial, end, state)
        self._write(*told.events, tracked=told.records)

    def settle(self) -> None:
        """Return when all that was written so far is on the disk, before a checkpoint that follows from it is.

        Raises:
            WorkError: It is not.
        """
        try:
            self._journal.sync()
        except WorkError as error:
            self.give_up(str(error))
            raise

    def wait_before(self, pack: str) -> float:
        """A pack is tried, or tried again: in so many seconds."""
        return self._failures.begin(pack)

    def out_of_memory(self, name: str, *, alone: bool = True) -> Outgrown | None:
        """The pack that is trained in the process of this one ran out of memory: it is halved, and goes on.

        A run that was by itself has failed, if ``alone`` says that nobody else can have taken the memory.
        """
        pack = self._halving.in_turn(name)
        split = None if pack is None or self._failure is not None else self._halving.split(pack)
        if pack is not None and split is not None:
            self._write(split)
            return self._halving.outgrown(pack)
        if pack is not None and alone:
            self.pack_failed(pack.name, ALONE)
        return None

    def next_half(self, name: str) -> Assignment | None:
        """Which pack comes next in the process of this one, which is through or was halved; None if none does."""
        pack = None if self.stopping() else self._halving.in_turn(name)
        return None if pack is None else Assignment(pack.name, names_of(pack.trials))

    def tried(self, pack: str, error: str) -> None:
        """A try to train a pack has raised an error, whose traceback this is; there may be others."""
        self._failures.tried(pack, error)

    def pack_failed(self, pack: str, reason: str) -> None:
        """The process of a pack died more often than the job allows."""
        if self._failure is not None:
            return
        for each in self._halving.family(self.state.packs[pack]) if pack in self.state.packs else ():
            trials = each.unended()
            self._write(tracked=self._failures.kept(self.header, each.name, trials))
            for trial in trials:
                self._end(trial, self._failures.end(each.name, trial, reason), TrialState.FAILED)
        if (alike := self._failures.given_up(pack)) is not None:
            self.give_up(alike)

    def give_up(self, reason: str) -> None:
        """The work cannot go on, say for a full disk: nothing is written any more, so resume finds it as it was."""
        self._failure = self._failure or reason

    def stopping(self) -> bool:
        """Whether somebody asked the sweep to stop, or its work has failed."""
        return self._failure is not None or self.folder.stop_request.exists()

    def progress(self) -> Progress:
        """How far the sweep is; asked for often, so it is also when requests are taken up."""
        self._take_up()
        waiting, error = self._outbox.pending(), self._outbox.last_error
        lines, failure = self._failures.lines, self._failure
        return progress_of(self.job, self.state, waiting=waiting, error=error, failure=failure, lines=lines)

    def close(self, *, flush_seconds: float | None = None) -> int:
        """End the sweep's own run if nothing is left to do, ship what waits, and let go of the files.

        Returns:
            The number of records that still wait for the server.

        Raises:
            WorkError: The disk is full, or a score of a final run is damaged.
        """
        with closing(self._journal), closing(self._outbox):
            done = self.state.complete
            if not self.state.finished and self._failure is None:
                several = self.header.kind is SweepKind.SWEEP  # and not one configuration under some seeds
                result = final_result(self.folder, self.state) if done and not several else None
                records = tracked.sweep_end(self.header, self.state, result, done=done, now=self._clock.now())
                if done and self._requested is not None:
                    self._write_each(self._requested.turned_away())
                self._write(*([Finished()] if done else []), tracked=records)
            if self._failure is None:
                self._journal.sync()
                with suppress(OSError):  # a lost study can be made again, and nothing waits for it
                    sync(self.folder.study)
            if flush_seconds is None:
                flush_seconds = FLUSH_SECONDS if self.header.tracking_uri else EMBEDDED_FLUSH_SECONDS
            return self._outbox.flush(flush_seconds if self._failure is None else 0.0)
