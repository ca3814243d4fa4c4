"""The meta-training loop of a pack (DESIGN section 6): validate, select, report, checkpoint, test."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from oplstm.training.checkpoint import load_pack, save_model, save_pack
from oplstm.training.evaluation import ci95
from oplstm.training.pack import Pack

DIVERGENCE_FACTOR = 1e4
"""A validation loss this many times the untrained one counts as diverged, as nan and inf do."""

EndState = Literal["complete", "pruned", "diverged", "stopped"]


@dataclass(frozen=True)
class Point:
    """One meta-validation point of one run.

    Attributes:
        run: The run's name.
        update: Meta-updates done.
        milestone: The multiple of ``validate_every`` that this point stands for, in the budget's unit.
        metrics: Named as in docs/metrics.md.
    """

    run: str
    update: int
    milestone: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes:
        run: The run's name.
        state: ``complete``, ``pruned``, ``diverged`` or ``stopped`` (to be resumed).
        update: Meta-updates done.
        best_update: Update of the best weights.
        metrics: Best validation, and test scores if it was tested.
        note: One line for a person: why it diverged, or that its time was up.
        budget_exhausted: Whether the wall-clock budget ended it.
    """

    run: str
    state: EndState
    update: int
    best_update: int
    metrics: dict[str, float] = field(default_factory=dict)
    note: str = ""
    budget_exhausted: bool = False


class Listener(Protocol):
    """Receives what a pack reports. Training waits for it at meta-validation points and ends only."""

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Record the points; returns the names of the runs to prune."""
        ...

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Record that runs have ended. Their files are complete."""
        ...

    def on_progress(self, update: int, runs: int) -> None:
        """Called after every meta-update."""
        ...

    def should_stop(self) -> bool:
        """Whether to checkpoint and stop at this update."""
        ...


class Trainer:
    """Trains a pack to its end, from its last checkpoint if there is one.

    Args:
        pack: Freshly made; a checkpoint in ``folder`` replaces its state.
        listener: Receives points and ends.
        folder: Where the pack's checkpoints lie.
        run_folder: Parent of one folder a run (by name), for its best weights and scores.
    """

    def __init__(self, pack: Pack, listener: Listener, folder: Path, run_folder: Path) -> None:
        self._pack, self._listener, self._folder, self._run_folder = pack, listener, folder, run_folder
        self._milestones = pack.budget.milestones(pack.meta_batch_size)
        self._last = pack.budget.update_count(pack.meta_batch_size)
        self._since_point = 0
        self._elapsed = 0.0
        counters = load_pack(folder, pack)
        self._resumed = counters is not None
        if counters is not None:
            self._since_point, self._elapsed = int(counters["since_point"]), counters["elapsed"]

    def train(self) -> None:
        """Run until every run has ended or the listener asks to stop."""
        pack = self._pack
        self._clock = self._point_clock = time.monotonic()
        self._timed_updates = 0
        if not self._resumed:
            self._validate(milestone=0)
        while pack.runs and pack.update < self._last:
            if self._listener.should_stop():
                self._save()
                self._end(range(len(pack.runs)), "stopped")
                return
            pack.step()
            self._since_point += 1
            self._timed_updates += 1
            self._listener.on_progress(pack.update, len(pack.runs))
            if pack.update in self._milestones:
                self._validate(self._milestones[pack.update])
                limit = pack.budget.max_hours if pack.runs else None
                if limit is not None and self._seconds() > limit * 3600:
                    self._finish(f"stopped after its {limit:g} hours", budget_exhausted=True)
                    return
        self._finish()

    def _seconds(self) -> float:
        return self._elapsed + time.monotonic() - self._clock

    def _save(self) -> None:
        save_pack(self._folder, self._pack, {"since_point": self._since_point, "elapsed": self._seconds()})

    def _validate(self, milestone: int) -> None:
        """One meta-validation point: select, report, drop what has ended, checkpoint."""
        pack, state = self._pack, self._pack.state
        train_seconds = time.monotonic() - self._point_clock
        scores = pack.validation_scores()
        losses, values = scores["loss"].mean(1), scores[pack.measure.name]
        mean = values.mean(1).where(losses.isfinite(), torch.nan)
        if pack.update == 0:
            state.untrained_loss = losses.clone()
        # strict; False for nan
        better = mean > state.best_value if pack.measure.higher_is_better else mean < state.best_value
        state.best_value = torch.where(better, mean, state.best_value)
        state.best_update = torch.where(better, pack.update, state.best_update)
        state.best_values = torch.where(better.unsqueeze(1), values, state.best_values)
        state.best_weights = torch.where(better.unsqueeze(1), state.weights, state.best_weights)
        diverged = (state.diverged_at >= 0) | ~losses.isfinite()
        diverged |= losses > DIVERGENCE_FACTOR * state.untrained_loss.clamp(min=1.0)
        points = self._points(milestone, scores, train_seconds)
        prune = set(self._listener.on_points(points))
        state.loss_sum = torch.zeros_like(state.loss_sum)
        self._since_point = 0
        gone = [row for row in range(len(pack.runs)) if diverged[row]]
        pruned = [row for row, name in enumerate(pack.names) if name in prune and row not in gone]
        self._end(gone, "diverged", losses)
        self._end(pruned, "pruned")
        pack.keep([row for row in range(len(pack.runs)) if row not in gone and row not in pruned])
        if pack.runs:
            self._save()
        self._point_clock, self._timed_updates = time.monotonic(), 0

    def _points(self, milestone: int, scores: dict[str, Tensor], seconds: float) -> list[Point]:
        pack, state = self._pack, self._pack.state
        interval, analyses = ci95(scores[pack.measure.name]), pack.analyses()
        points = []
        for row, name in enumerate(pack.names):
            metrics = {f"val/{score}": values[row].mean().item() for score, values in scores.items()}
            metrics |= {name: values[row].mean().item() for name, values in analyses.items()}
            metrics |= {
                "val/ci95": interval[row].item(),
                "val/best": state.best_value[row].item(),
                "tasks_seen": float(pack.update * pack.meta_batch_size),
            }
            if self._since_point:
                metrics["train/loss"] = state.loss_sum[row].item() / self._since_point
                metrics["train/tasks_per_second"] = self._timed_updates * pack.meta_batch_size / max(seconds, 1e-9)
            points.append(Point(name, pack.update, milestone, metrics))
        return points

    def _finish(self, note: str = "", *, budget_exhausted: bool = False) -> None:
        """Test every run that is left, with its best weights, once."""
        pack = self._pack
        if pack.runs:
            scores = pack.test_scores() if pack.budget.test_tasks else {}
            self._end(range(len(pack.runs)), "complete", test=scores, note=note, budget_exhausted=budget_exhausted)

    def _end(
        self,
        rows: Sequence[int],
        state: EndState,
        losses: Tensor | None = None,
        *,
        test: dict[str, Tensor] | None = None,
        note: str = "",
        budget_exhausted: bool = False,
    ) -> None:
        """Write the runs' files, then report their end."""
        pack, ends = self._pack, []
        for row in rows:
            metrics = {"val/best": pack.state.best_value[row].item()}
            tested = {name: values[row] for name, values in (test or {}).items()}
            metrics |= self._test_metrics(tested)
            if state != "stopped":
                save_model(self._run_folder / pack.names[row], pack, row, tested)
            reason = self._divergence(row, losses[row].item()) if losses is not None else note
            best_update = int(pack.state.best_update[row])
            ends.append(RunEnd(pack.names[row], state, pack.update, best_update, metrics, reason, budget_exhausted))
        if ends:
            self._listener.on_ends(ends)

    def _test_metrics(self, tested: dict[str, Tensor]) -> dict[str, float]:
        """``test/loss``, ``test/ci95`` of the measure, and the same below ``cross/<dataset>/``."""
        metrics = {}
        for score, values in tested.items():
            domain, _, name = score.rpartition("/")
            metrics[f"{domain or 'test'}/{name}"] = values.mean().item()
            if name == self._pack.measure.name:
                metrics[f"{domain or 'test'}/ci95"] = ci95(values).item()
        return metrics

    def _divergence(self, row: int, loss: float) -> str:
        at = int(self._pack.state.diverged_at[row])
        if at >= 0:
            return f"diverged: training loss not finite at update {at}"
        return f"diverged: validation loss {loss:.4g} at update {self._pack.update}"
