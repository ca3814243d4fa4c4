"""The meta-training loop of a pack: validate, select, report, checkpoint, test."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from oplstm.training.checkpoint import load_pack, save_model, save_pack
from oplstm.training.ends import save_end
from oplstm.training.hours import Expiries, Hours
from oplstm.training.metrics import metrics_of_test, validation_metrics
from oplstm.training.pack import Pack, Scores
from oplstm.training.reports import EndState, Listener, Point, RunEnd
from oplstm.training.selection import divergence, have_diverged, take_better


class Trainer:
    """Trains a pack to its end, from its last checkpoint if there is one.

    Runs of different meta-batch sizes reach their validation points and ends at different updates: each is validated,
    tested and let go when it is due.

    Args:
        pack: Freshly made, of the runs of the checkpoint in ``folder``, which replaces its state (see
            ``runs_of_checkpoint``); without one, of those to begin with.
        listener: Receives points and ends.
        folder: Where the pack's checkpoints lie.
        run_folder: Parent of one folder a run (by name), for its best weights and scores.
        capacity: Runs that the pack can hold: where ended runs leave room, the listener is asked for others. None: it
            is not asked.
        expiries: What earlier processes of this pack decided by their clocks.
        ends: Parent of one folder a run, for its state at the end of its budget; None: it is not kept.
    """

    def __init__(
        self,
        pack: Pack,
        listener: Listener,
        *,
        folder: Path,
        run_folder: Path,
        capacity: int | None = None,
        expiries: Expiries | None = None,
        ends: Path | None = None,
    ) -> None:
        self._pack, self._listener, self._folder, self._run_folder = pack, listener, folder, run_folder
        self._capacity, self._ends = capacity or 0, ends
        sizes = {run.meta_batch_size for run in pack.runs}
        self._milestones = {size: pack.budget.milestones(size) for size in sizes}
        self._last = {size: pack.budget.update_count(size) for size in sizes}
        counters = load_pack(folder, pack)
        self._resumed = counters is not None
        counters = counters or {}
        self._hours = Hours(
            pack.budget.max_hours,
            known=expiries or Expiries(),
            elapsed=counters.get("elapsed", 0.0),
            began=counters.get("began", dict.fromkeys(pack.names, 0.0)),
        )
        self._last_point: dict[str, int] = counters.get("last_point", dict.fromkeys(pack.names, 0))
        self._may_join: bool = counters.get("may_join", False)

    def train(self) -> None:
        """Run until every run has ended or the listener asks to stop."""
        pack = self._pack
        self._train_seconds = 0.0
        self._timed = dict.fromkeys(pack.names, (pack.update, 0.0))
        if not self._resumed:
            self._validate(range(len(pack.runs)))
        while self._settle():
            if not self._advance():
                self._save()
                self._end(range(len(pack.runs)), "stopped")
                return
            if due := [row for row, milestone in enumerate(self._reached()) if milestone]:
                self._may_join = True
                self._validate(due)

    def _settle(self) -> bool:
        """Test and let go of the runs that are over, let others come in; whether any are left."""
        pack = self._pack
        done = [row for row in range(len(pack.runs)) if self._is_over(row)]
        self._finish(done)
        if len(done) == len(pack.runs):
            return False
        pack.keep([row for row in range(len(pack.runs)) if row not in done])
        self._let_join()
        return True

    def _advance(self) -> bool:
        """Train to the next update at which a run has a validation point or an end; False: asked to stop before."""
        pack = self._pack
        goal = min(joined + self._next(row) for row, joined in enumerate(pack.joined))
        started = time.monotonic()
        while pack.update < goal:
            if self._listener.should_stop():
                return False
            pack.step()
            self._listener.on_progress(pack.update, len(pack.runs))
            if self._look_at_clock():
                break
        if pack.device.device.type == "cuda":
            torch.cuda.synchronize()  # or the seconds would be those of launching the work
        self._train_seconds += time.monotonic() - started
        return True

    def _next(self, row: int) -> int:
        """The run's own next update with a validation point, or its last."""
        size, own = self._pack.runs[row].meta_batch_size, self._pack.updates[row]
        last: int = self._last[size]
        return next((update for update in self._milestones[size] if own < update < last), last)

    def _is_over(self, row: int) -> bool:
        """Whether a run's budget is used up."""
        return self._is_through(row) or self._pack.names[row] in self._hours.over(self._pack.update)

    def _is_through(self, row: int) -> bool:
        """Whether a run has made all its updates."""
        pack = self._pack
        last: int = self._last[pack.runs[row].meta_batch_size]
        return pack.updates[row] >= last

    def _look_at_clock(self) -> bool:
        """Tell whose hours are over at this update, unless it is known; whether anybody's are.

        Asked once an update, before anything else follows it, so that a resume finds it decided at the same place.
        """
        pack = self._pack
        late = self._hours.newly_over(pack.update, pack.names)
        if late := [name for name in late if not self._is_through(pack.names.index(name))]:
            self._listener.on_expired(pack.update, late)
            self._hours.expire(pack.update, late)
        return bool(self._hours.over(pack.update))

    def _let_join(self) -> None:
        """After a validation point: let runs come in where others have left."""
        pack = self._pack
        room = self._capacity - len(pack.runs)
        joined = self._listener.joins(pack.update, room) if self._may_join and room > 0 else ()
        self._may_join = False
        if not joined:
            return
        names = [name for name, _ in joined]
        pack.add([run for _, run in joined], names)
        self._hours.begin(names)
        for name, run in joined:
            self._last_point[name], self._timed[name] = 0, (pack.update, self._train_seconds)
            self._milestones[run.meta_batch_size] = pack.budget.milestones(run.meta_batch_size)
            self._last[run.meta_batch_size] = pack.budget.update_count(run.meta_batch_size)
        self._validate([row for row, name in enumerate(pack.names) if name in names])

    def _reached(self) -> list[int]:
        """The milestone that each run has just reached; 0 if there is none."""
        runs = zip(self._pack.runs, self._pack.updates, strict=True)
        return [self._milestones[run.meta_batch_size].get(update, 0) for run, update in runs]

    def _save(self) -> None:
        names = self._pack.names
        counters = {
            "elapsed": self._hours.seconds,
            "began": self._hours.began(names),
            "last_point": {name: self._last_point[name] for name in names},
            "may_join": self._may_join,
        }
        self._listener.settle()
        self._listener.on_kept(save_pack(self._folder, self._pack, counters))

    def _validate(self, rows: Sequence[int]) -> None:
        """A meta-validation point of ``rows``: select, report, drop what has ended, checkpoint."""
        pack, state = self._pack, self._pack.state
        scores = pack.validation_scores(rows)
        take_better(pack, rows, scores)
        points = self._points(rows, scores)
        prune = set(self._listener.on_points(points))
        losses = scores["loss"].mean(1)
        diverged = have_diverged(pack, rows, losses)
        state.loss_sum[rows] = 0.0
        for row in rows:
            self._last_point[pack.names[row]] = pack.updates[row]
            self._timed[pack.names[row]] = pack.update, self._train_seconds
        gone = [row for row, bad in zip(rows, diverged, strict=True) if bad]
        pruned = [row for row in rows if pack.names[row] in prune and row not in gone]
        self._end(gone, "diverged", dict(zip(rows, losses.tolist(), strict=True)), test=self._tested(gone))
        self._end(pruned, "pruned")
        pack.keep([row for row in range(len(pack.runs)) if row not in gone and row not in pruned])
        if pack.runs:
            self._save()

    def _points(self, rows: Sequence[int], scores: Scores) -> list[Point]:
        pack, milestones, points = self._pack, self._reached(), []
        for row, metrics in zip(rows, validation_metrics(pack, rows, scores), strict=True):
            name = pack.names[row]
            if (since := pack.updates[row] - self._last_point[name]) > 0:
                metrics["train/loss"] = pack.state.loss_sum[row].item() / since
                update, seconds = self._timed[name]
                passed = max(self._train_seconds - seconds, 1e-9)
                tasks = (pack.update - update) * pack.runs[row].meta_batch_size
                metrics["train/tasks_per_second"] = tasks / passed
            points.append(Point(name, pack.updates[row], milestones[row], metrics))
        return points

    def _finish(self, rows: Sequence[int]) -> None:
        """Test ``rows`` with their best weights, once."""
        if rows:
            self._keep_ends([row for row in rows if self._is_through(row)])
            self._end(rows, "complete", test=self._tested(rows))

    def _keep_ends(self, rows: Sequence[int]) -> None:
        """Keep the states of ``rows``, from which they could go on."""
        if self._ends is None or not rows:
            return
        self._listener.settle()
        names = [self._pack.names[row] for row in rows]
        for row, (name, began) in zip(rows, self._hours.began(names).items(), strict=True):
            seconds, last_point = self._hours.seconds - began, self._last_point[name]
            end = save_end(self._ends / name, self._pack, row=row, seconds=seconds, last_point=last_point)
            self._listener.on_kept(end)

    def _tested(self, rows: Sequence[int]) -> Scores:
        """The test scores of the best weights of ``rows``, those of a diverged run too, which are from before."""
        return self._pack.test_scores(rows) if rows and self._pack.budget.test_tasks else {}

    def _end(
        self,
        rows: Sequence[int],
        state: EndState,
        losses: Mapping[int, float] | None = None,
        *,
        test: Scores | None = None,
    ) -> None:
        """Write the runs' files, then report their end."""
        pack, ends = self._pack, []
        for place, row in enumerate(rows):
            metrics = {"val/best": pack.state.best_value[row].item()}
            tested = {name: values[place] for name, values in (test or {}).items()}
            metrics |= metrics_of_test(pack.measure, tested)
            if state != "stopped":
                save_model(self._run_folder / pack.names[row], pack, row=row, test=tested)
                self._listener.on_kept(self._run_folder / pack.names[row])
            update, last = pack.updates[row], self._last[pack.runs[row].meta_batch_size]
            late = state == "complete" and update < last
            note = f"stopped after its {pack.budget.max_hours:g} hours" if late else ""
            if losses is not None:
                note = divergence(pack, row, losses[row])
            best_update = int(pack.state.best_update[row])
            ends.append(RunEnd(pack.names[row], state, update, best_update, metrics, note, budget_exhausted=late))
        if ends:
            self._listener.on_ends(ends)
