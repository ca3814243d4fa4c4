"""The coordinator: the only owner and writer of a sweep's study, journal and outbox (DESIGN section 7).

Every decision (what to train, what shares a pack, what to prune) is journaled before it takes effect, and a
coordinator is rebuilt from the journal; so a resumed sweep repeats its decisions and never changes them.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from jobs.jobfile.schema import Job
from jobs.store.final import final_result
from jobs.store.home import SweepFolder
from jobs.store.state import ENDED, Header, PackState, SweepState, Trial
from jobs.sweep import packing
from jobs.sweep import tracked as sweep_records
from jobs.sweep.pack_sizes import pack_size
from jobs.sweep.proposals import Proposals
from oplstm.errors import WorkError
from oplstm.training.reports import Point, RunEnd
from search_spaces.samplers import is_adaptive
from tracking.journal.journal import Journal
from tracking.outbox.outbox import Outbox

FLUSH_SECONDS = 30.0
EMBEDDED_FLUSH_SECONDS = 120.0
"""The embedded server may still be starting when a short training has ended."""


class Coordinator:
    """Decides, records and tracks. An ordinary object for one process, a Ray actor for a sweep.

    Args:
        folder: The sweep's folder, with its header.
        tracking_uri: Of the MLflow server, or a function that returns it and may fail while the server starts.

    Raises:
        RequestError: Another process runs this sweep.
    """

    def __init__(self, folder: SweepFolder, tracking_uri: str | Callable[[], str]) -> None:
        self.folder, self.header = folder, Header.read(folder)
        self.job = Job.model_validate(self.header.job)
        self._final = self.header.kind == "final"
        self._value = f"val/{self.job.measure.name}"
        self._size, self._slots = pack_size(self.job), 1
        self._failure: str | None = None
        self._journal = Journal(folder.journal)
        self.state = SweepState()
        folder.stop_request.unlink(missing_ok=True)
        self._proposals = Proposals(self.job, folder.study, name=self.header.name, final=self._final)
        known = list(Journal.read(folder.journal))
        if not known:
            self._journal.append([sweep_records.sweep_run(self.header, time.time())])
        self._replay(known)
        self._unfinished = list(self.state.unfinished_packs())
        if known and not self.state.finished:
            self._reopen()
        self._outbox = Outbox(folder.journal, tracking_uri)
        self._outbox.start()

    def _replay(self, known: Sequence[dict[str, Any]]) -> None:
        """Put the study and the state where the journal says they were."""
        for record in known:
            if "event" not in record:
                continue
            self.state.apply(record)
            if record["event"] == "asked":
                self._proposals.replay(record["params"], record["draws"])
            elif record["event"] == "point":
                trial = self.state.by_name[record["trial"]]
                self._decide(trial, record["metrics"].get(self._value, math.nan), record["milestone"])
            elif record["event"] == "ended" and record["state"] in ENDED:
                trial = self.state.by_name[record["trial"]]
                best = record["metrics"].get("val/best", self.job.measure.worst)
                self._proposals.tell(trial.number, trial.state, best)

    def _reopen(self) -> None:
        """The sweep goes on, and so do the runs that ended as stopped."""
        stopped = [trial for trial in self.state.trials.values() if trial.state == "stopped"]
        self._write(sweep_records.reopened(self.header, stopped))

    def _write(self, records: Sequence[dict[str, Any]]) -> None:
        """Journal first, then take effect; nothing more once the work has failed.

        Raises:
            WorkError: The journal cannot be written, or the work has failed.
        """
        if self._failure is not None:
            raise WorkError(self._failure)
        try:
            self._journal.append(records)
        except WorkError as error:
            self.give_up(str(error))
            raise
        for record in records:
            self.state.apply(record)

    def next_pack(self, slots: int = 1) -> dict[str, Any] | None:
        """The next pack to train, or None when nothing is left or a stop was asked for.

        Args:
            slots: How many packs are trained at once.

        Returns:
            ``pack``, its name; ``names`` of its trials so far; ``capacity``: the runs that it can hold, or None if
            that is to be measured, with the run ``like`` and with a use for ``limit`` of them.
        """
        self._slots = slots
        if self.stopping():
            return None
        while self._unfinished:
            pack = self.state.packs[self._unfinished.pop()]
            if pack.unended():  # others may have taken them
                return self._assignment(pack)
        self._ask_for(self._size or 1)
        first = next(iter(self.state.waiting.values()), None)
        if first is None:
            return None
        trials = list(itertools.islice(self.state.waiting_like(first.signature).values(), self._size or 1))
        name = f"pack-{len(self.state.packs):04d}"
        self._write([sweep_records.packed(name, trials), *self._new_runs(trials)])
        return self._assignment(self.state.packs[name])

    def _assignment(self, pack: PackState) -> dict[str, Any]:
        given: dict[str, Any] = {"pack": pack.name, "names": [trial.name for trial in pack.trials]}
        given["capacity"] = self._capacity(pack)
        if given["capacity"] is None:
            trials = [*pack.trials, *packing.candidates(self.state, pack)]
            given |= {"like": packing.heaviest(trials).run, "limit": len(trials) + self._unasked()}
        return given

    def _capacity(self, pack: PackState) -> int | None:
        return self._size or pack.capacity

    def _new_runs(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """Records that create the runs of trials that come into a pack for the first time."""
        now = time.time()
        return [sweep_records.trial_run(self.header, t, now, self.folder.data) for t in trials if t.pack is None]

    def _unasked(self) -> int:
        """How many more trials may be asked for."""
        return 0 if self.state.exhausted else (self.job.trial_limit or 0) - len(self.state.trials)

    def _ask_for(self, count: int) -> None:
        """Ask until so many trials wait; for all, if packs hold several and the sampler learns nothing from results."""
        everything = self._size != 1 and not is_adaptive(self.job.sampler.name)
        while not self.state.exhausted and (everything or len(self.state.waiting) < count):
            proposal = self._proposals.ask()
            if proposal is None:
                self._write([{"kind": "sweep", "event": "exhausted"}])
                return
            record = {"trial": proposal.number, "params": proposal.params, "draws": proposal.draws}
            self._write([{"kind": "sweep", "event": "asked", **record, "run": proposal.run.to_dict()}])

    def sized(self, name: str, capacity: int) -> None:
        """It was measured how many runs a pack can hold: fill it with its fair share. A repeat changes nothing."""
        pack = self.state.packs[name]
        if self._capacity(pack) is not None or not pack.unended():
            return
        own, possible = len(pack.trials), self._possible(pack)
        size = min(capacity, packing.share_of_new_pack(self.state, pack, own + possible, self._slots))
        self._ask_for(size - own)
        trials = packing.candidates(self.state, pack)[: max(0, size - own)]
        self._write([sweep_records.sized(name, capacity, trials), *self._new_runs(trials)])

    def _possible(self, pack: PackState) -> int:
        """How many more trials could come into a pack; what is not asked for yet may be of its signature."""
        others = packing.candidates(self.state, pack)
        if self.state.exhausted:
            return len(others)
        resting = [trial for trial in others if trial.state != "waiting"]
        return len(resting) + len(self.state.waiting) + self._unasked()

    def joins(self, name: str, update: int, room: int) -> list[tuple[str, dict[str, Any]]]:
        """Trials that come into a pack at one of its updates, as (name, run). A repeat is answered as before.

        An empty answer is written too, unless it could not have been another.
        """
        pack = self.state.packs[name]
        if update not in pack.joins:
            size = min(room, packing.share_of_running_pack(self.state, self._possible(pack), self._slots))
            self._ask_for(size)
            others = packing.candidates(self.state, pack)
            if others or not self.state.exhausted:
                trials = others[:size]
                joined = sweep_records.joined(self.header, pack, update, trials)
                self._write([joined[0], *self._new_runs(trials), *joined[1:]])
        return [(joined, self.state.by_name[joined].run) for joined in pack.joins.get(update, [])]

    def started(self, name: str, device: dict[str, str]) -> dict[str, Any] | None:
        """A process has begun to train a pack.

        Returns:
            ``names`` and ``runs`` of all trials that were ever in it, names of the ``initial`` ones, with which it
            begins, and its ``capacity``; None if nothing is left to train.
        """
        pack = self.state.packs[name]
        if not pack.unended():
            return None
        self._write(sweep_records.started(self.header, name, pack.unended(), device))
        return {
            "names": [trial.name for trial in pack.trials],
            "runs": [trial.run for trial in pack.trials],
            "initial": pack.initial,
            "capacity": self._capacity(pack),
        }

    def on_points(self, points: Sequence[Point]) -> list[str]:
        """Record validation points; returns the names of the runs to prune. Answers a repeat as it did before."""
        records, prune = [], []
        for point in points:
            trial = self.state.by_name[point.run]
            known = point.update in trial.updates
            if known or trial.state in ENDED:
                wanted = not known or point.update in trial.pruned_at
            else:
                wanted = self._decide(trial, point.metrics[self._value], point.milestone)
                records.append(sweep_records.point(self.header, trial, point, prune=wanted, now=time.time()))
            if wanted:
                prune.append(point.run)
        if records:
            self._write(records)
        return prune

    def _decide(self, trial: Trial, value: float, milestone: int) -> bool:
        """Whether to prune; replayed with every point, because some of Optuna's pruners remember being asked."""
        alone = self.job.space is None and self.job.pruner.name is None  # nobody learns from its points
        if alone or not math.isfinite(value) or milestone == 0:
            return False
        self._proposals.report(trial.number, value, milestone)
        return milestone < trial.total and self._proposals.should_prune(trial.number)

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Record that runs have ended; a repeat changes nothing."""
        for end in ends:
            trial = self.state.by_name[end.run]
            if trial.state in ENDED:
                continue
            if end.state != "stopped":
                self._proposals.tell(trial.number, end.state, end.metrics["val/best"])
            self._write(sweep_records.end(self.header, trial, end, time.time(), value=self._value))
            self._write(sweep_records.best_so_far(self.header, self.state, time.time()))

    def pack_failed(self, pack: str, reason: str) -> None:
        """The process of a pack died more often than the job allows."""
        if self._failure is not None:
            return
        for trial in self.state.packs[pack].unended() if pack in self.state.packs else []:
            self._proposals.tell(trial.number, "failed", self.job.measure.worst)
            points = trial.points[-1] if trial.points else {"update": 0}
            end = RunEnd(trial.name, "stopped", int(points["update"]), 0, note=reason)
            self._write(sweep_records.end(self.header, trial, end, time.time(), value=self._value, state="failed"))

    def give_up(self, reason: str) -> None:
        """The work cannot go on, say for a full disk: nothing is written any more, so resume finds it as it was."""
        self._failure = self._failure or reason

    def stopping(self) -> bool:
        """Whether somebody asked the sweep to stop, or its work has failed."""
        return self._failure is not None or self.folder.stop_request.exists()

    def progress(self) -> dict[str, Any]:
        """Counts, best so far and the share of the work that is done, for a progress bar."""
        leader = self.state.leader()
        return {
            "fraction": self.state.fraction,
            "trials": self.job.trial_limit,
            "asked": len(self.state.trials),
            "exhausted": self.state.exhausted,
            "counts": dict(self.state.counts()),
            "best": None if leader is None else leader.best,
            "leader": None if leader is None else leader.name,
            "waiting_records": self._outbox.pending(),
            "tracking_error": self._outbox.last_error,
            "failure": self._failure,
        }

    def record(self, records: Sequence[dict[str, Any]]) -> None:
        """Append further records, such as the result of final runs."""
        self._write(records)

    def close(self, *, flush_seconds: float | None = None) -> int:
        """End the sweep's own run if nothing is left to do, ship what waits, and let go of the files.

        Returns:
            The number of records that still wait for the server.
        """
        done = self.state.exhausted and self.state.ended == len(self.state.trials)
        if not self.state.finished and self._failure is None:
            result = final_result(self.folder, self.state) if self._final and done else None
            self._write(sweep_records.sweep_end(self.header, self.state, result, done=done, now=time.time()))
        if self._failure is None:
            self._journal.sync()
        if flush_seconds is None:
            flush_seconds = FLUSH_SECONDS if self.header.tracking_uri else EMBEDDED_FLUSH_SECONDS
        waiting = self._outbox.flush(flush_seconds if self._failure is None else 0.0)
        self._outbox.close()
        self._journal.close()
        return waiting

    def run_id(self, key: str) -> str | None:
        """The MLflow run of a key, once it has been shipped."""
        return self._outbox.run_id(key)
