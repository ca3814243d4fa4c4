"""A pack: R runs of one signature trained side by side in one program (DESIGN section 3)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oplstm.analysis.registry import ANALYSES, TASKS
from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.episode import Episode, stack_runs
from oplstm.episodes.measure import Measure
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.learner import Learner
from oplstm.learners.registry import LEARNERS
from oplstm.nets.precision import arithmetic
from oplstm.training.adam import AdamMoments, adam_step
from oplstm.training.blocks import blocks, saved_bytes, tasks_at_once
from oplstm.training.captured import Captured
from oplstm.training.evaluation import evaluate, training_losses
from oplstm.training.parameters import Layout
from oplstm.training.run import RunConfig
from oplstm.training.task_feed import TaskFeed
from oplstm.training.task_groups import TaskGroups


@dataclass(frozen=True)
class Device:
    """Where a pack computes, and how.

    Attributes:
        device: Of its tensors.
        dtype: In which precision they are kept.
        data: The folder of imported datasets that it finds there, if any.
        capture: Whether updates on a GPU are captured as a CUDA graph; to see what that is worth, they need not be.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    data: Path | None = None
    capture: bool = True


@dataclass
class RunState:
    """The tensors that a bit-for-bit resume needs, one row a run.

    Attributes:
        weights: ``(R, P)``.
        moments: Adam's, ``(R, P)`` each.
        best_weights: Weights of the best validation so far, ``(R, P)``.
        best_value: Mean validation value of ``best_weights`` by the benchmark's measure, float64 ``(R,)``; the worst
            before the first point.
        best_update: Its update, int64 ``(R,)``.
        best_values: Its value on every validation task, float64 ``(R, tasks)``.
        untrained_loss: Validation loss before training, float64 ``(R,)``.
        loss_sum: Sum of the training losses since the last validation point, float64 ``(R,)``.
        diverged_at: First update whose training loss was not finite, int64 ``(R,)``; -1 while there is none.
    """

    weights: Tensor
    moments: AdamMoments
    best_weights: Tensor
    best_value: Tensor
    best_update: Tensor
    best_values: Tensor
    untrained_loss: Tensor
    loss_sum: Tensor
    diverged_at: Tensor

    ROWS = ("weights", "best_weights", "best_value", "best_update", "best_values", "untrained_loss", "loss_sum",
            "diverged_at")  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name; all have the run as their first axis."""
        rows = {name: getattr(self, name) for name in self.ROWS}
        return rows | {"moments.first": self.moments.first, "moments.second": self.moments.second}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "RunState":
        """The state that ``tensors`` was taken from."""
        moments = AdamMoments(tensors["moments.first"], tensors["moments.second"])
        return cls(moments=moments, **{name: tensors[name] for name in cls.ROWS})


def _by_passes(runs: Sequence[RunConfig]) -> list[int]:
    """The places of runs in the order that ``Learner.passes`` wants: most passes first."""
    return sorted(range(len(runs)), key=lambda row: -runs[row].passes(training=True))


def parameter_count(run: RunConfig) -> int:
    """Trained parameters of a run."""
    learner = LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape)
    return Layout(learner.init(run.hyperparameters, torch.Generator())).size


class Pack:
    """Runs of one signature, their state, and one meta-update of all of them.

    Args:
        runs: Their configurations. They stand in the order of their T, most passes first.
        names: A unique name a run, such as ``trial-0003``.
        device: Where to compute, and in which precision.

    Attributes:
        update: Meta-updates that the pack has made.
        joined: Its ``update`` when each run came in.

    Raises:
        ValueError: The runs' signatures differ.
    """

    def __init__(self, runs: Sequence[RunConfig], names: Sequence[str], device: Device | None = None) -> None:
        self.device = device or Device()
        if len({run.signature for run in runs}) != 1:
            raise ValueError(f"runs of one pack must share a signature: {', '.join(names)} do not")
        order = _by_passes(runs)
        self.runs, self.names = [runs[row] for row in order], [names[row] for row in order]
        first = self.runs[0]
        self.measure: Measure = first.benchmark.measure
        self.learner: Learner[Any] = LEARNERS[first.learner](first.hyperparameters, first.benchmark.shape)
        initial = [self.learner.init(run.hyperparameters, torch.Generator().manual_seed(run.seed)) for run in self.runs]
        self.layout = Layout(initial[0])
        self.update = 0
        self.joined = [0] * len(self.runs)
        self.state = self._initial_state(self._place(self.layout.flatten(initial)))
        self._bind()

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device.device, self.device.dtype)

    def _initial_state(self, weights: Tensor) -> RunState:
        def per_run(value: float, dtype: torch.dtype) -> Tensor:
            return torch.full((weights.shape[0],), value, dtype=dtype, device=self.device.device)

        return RunState(
            weights=weights,
            moments=AdamMoments.zeros(weights),
            best_weights=weights.clone(),
            best_value=per_run(self.measure.worst, torch.float64),
            best_update=per_run(0, torch.int64),
            best_values=per_run(self.measure.worst, torch.float64)[:, None].repeat(1, self.budget.validation_tasks),
            untrained_loss=per_run(float("inf"), torch.float64),
            loss_sum=per_run(0.0, torch.float64),
            diverged_at=per_run(-1, torch.int64),
        )

    def _bind(self) -> None:
        """What follows from the runs and is not state: streams, learning rates, constants."""
        if not self.runs:
            return
        self.__dict__.pop("_feed", None)
        self._advance = Captured(self.device.device, capture=self.device.capture)
        self._lr = self._place(torch.tensor([[run.lr] for run in self.runs], dtype=torch.float64))
        clips = [math.inf if run.grad_clip is None else run.grad_clip for run in self.runs]
        self._clip = None if min(clips) == math.inf else self._place(torch.tensor(clips, dtype=torch.float64)[:, None])
        constants = [self.learner.constants(run.hyperparameters) for run in self.runs]
        self._constants = {name: self._place(torch.stack([c[name] for c in constants])) for name in constants[0]}
        self._evaluation_tasks: dict[Split, Episode] = {}
        self._steps = torch.tensor(self.updates, dtype=torch.float64, device=self.device.device)[:, None]
        self._groups = TaskGroups([run.meta_batch_size for run in self.runs])
        self._task_weights = self._place(self._groups.weights)
        # on a GPU the update is captured, and wants few large kernels
        self._at_once = None if self.device.device.type == "cpu" else self._task_weights.numel()

    @cached_property
    def tasks(self) -> Tasks:
        """The benchmark's, opened when they are first needed: a model predicts without the data."""
        tasks: Tasks = self._first.benchmark.open(self.device.data)
        return tasks

    @cached_property
    def _feed(self) -> TaskFeed:
        split = Split.FINAL_TRAIN if self._first.final else Split.TRAIN
        streams = [TaskStream(self.tasks, run.seed, split, self.device.dtype) for run in self.runs]
        return TaskFeed(streams, self._groups, self.device.device)

    @property
    def updates(self) -> list[int]:
        """Meta-updates that each run has made since it joined."""
        return [self.update - joined for joined in self.joined]

    @property
    def budget(self) -> Any:
        """The budget, which the runs of a pack share."""
        return self._first.budget

    @property
    def _first(self) -> RunConfig:
        return self.runs[0]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all runs but ``rows`` (compaction): ended runs cost no more time. The others stand as ``rows`` do."""
        if list(rows) == list(range(len(self.runs))):
            return
        self.runs = [self.runs[row] for row in rows]
        self.names = [self.names[row] for row in rows]
        self.joined = [self.joined[row] for row in rows]
        index = torch.tensor(rows, dtype=torch.int64, device=self.device.device)
        kept = {name: tensor.index_select(0, index) for name, tensor in self.state.tensors().items()}
        self.state = RunState.from_tensors(kept)
        self._bind()

    def restore(self, state: RunState, update: int, joined: Sequence[int]) -> None:
        """Put the runs where they once were."""
        self.state, self.update, self.joined = state, update, list(joined)
        self._bind()

    def add(self, runs: Sequence[RunConfig], names: Sequence[str]) -> None:
        """Take in runs of the same signature; their own updates count from here.

        Raises:
            ValueError: The signatures differ.
        """
        if {run.signature for run in runs} != {self._first.signature}:
            raise ValueError(f"runs of one pack must share a signature: {', '.join(names)} have another")
        new = Pack(runs, names, self.device)
        own, others = self.state.tensors(), new.state.tensors()
        self.state = RunState.from_tensors({name: torch.cat((own[name], others[name])) for name in own})
        self.runs, self.names = [*self.runs, *new.runs], [*self.names, *new.names]
        self.joined += [self.update] * len(runs)
        self._bind()
        self.keep(_by_passes(self.runs))

    def params(self, weights: Tensor, rows: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Named parameters and constants for the learner: of all runs, or of ``rows``, which ``weights`` are of."""
        constants = self._constants
        if rows is not None:
            constants = {name: value[list(rows)] for name, value in constants.items()}
        return {**self.layout.views(weights), **constants}

    def passes(self, rows: Sequence[int] | None = None, *, training: bool) -> list[int]:
        """T of all runs, or of ``rows``."""
        rows = range(len(self.runs)) if rows is None else rows
        return [self.runs[row].passes(training=training) for row in rows]

    def step(self) -> None:
        """One meta-update of every run."""
        self._feed.prepare(self.update, self.updates)
        self._advance(self._meta_update)
        self.update += 1

    def next_tasks(self) -> Episode:
        """The tasks of the coming update in groups, ``(G, g, ...)``, images by their places."""
        self._feed.prepare(self.update, self.updates)
        return self._feed.batch()

    def _meta_update(self) -> None:
        """The update itself, which waits for no host and changes the pack's tensors in place; see ``Captured``."""
        state = self.state
        with arithmetic(self._first.precision, self.device.device):
            losses, grad = self._gradients(self._feed.take())
        if self._clip is not None:
            grad = grad.clamp(-self._clip, self._clip)
        losses = losses.double()
        self._steps += 1
        newly = (state.diverged_at < 0) & ~losses.isfinite()
        state.diverged_at.copy_(torch.where(newly, self._steps[:, 0].long(), state.diverged_at))
        state.loss_sum += losses
        adam_step(state.weights, grad, state.moments, self._lr, self._steps, (state.diverged_at < 0).unsqueeze(1))

    def _gradients(self, batch: Episode) -> tuple[Tensor, Tensor]:
        """The training losses ``(R,)``, and their meta-gradients ``(R, P)``, of tasks in groups; see ``blocks``."""
        groups = self._groups
        weights = groups.repeat(self.state.weights.detach())
        losses, grad = weights.new_zeros(len(weights)), torch.zeros_like(weights)
        if self._at_once is None:
            first = slice(0, 1)
            leaf = weights[first].requires_grad_()
            self._at_once = tasks_at_once(saved_bytes(lambda: self._losses(leaf, batch, first, first), leaf))
        for rows, tasks in blocks(len(weights), groups.size, self._at_once):
            leaf = weights[rows].requires_grad_()
            found = self._losses(leaf, batch, rows, tasks)
            grad[rows] += torch.autograd.grad(found.sum(), leaf)[0]
            losses[rows] += found.detach()
        return groups.sum(losses), groups.sum(grad)

    def _losses(self, weights: Tensor, batch: Episode, rows: slice, tasks: slice) -> Tensor:
        """What ``tasks`` of ``rows`` of the groups, whose ``weights`` are given, add to the training losses."""
        groups = self._groups
        params = {name: groups.repeat(value)[rows] for name, value in self._constants.items()}
        params |= self.layout.views(weights)
        counts = groups.per_group(self.passes(training=True))[rows]
        part = self.tasks.gather(batch.mapped(lambda part: part[rows, tasks]))
        return (training_losses(self.learner, params, part, counts) * self._task_weights[rows, tasks]).sum(1)

    def evaluation_tasks(self, split: Split, count: int) -> Episode:
        """The tasks of a split: one block for all runs if they share its seed, else one a run."""
        if split not in self._evaluation_tasks:
            self._evaluation_tasks[split] = self._draw(self.tasks, split, count)
        return self._evaluation_tasks[split]

    def _draw(self, tasks: Tasks, split: Split, count: int) -> Episode:
        seeds = [run.evaluation_seed for run in self.runs]
        seeds = seeds[:1] if len(set(seeds)) == 1 else seeds
        blocks = [TaskStream(tasks, seed, split, self.device.dtype).tasks(0, count) for seed in seeds]
        return stack_runs(blocks).to(self.device.device, self.device.dtype)

    def validation_scores(self, rows: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Scores of ``rows``, or of all runs, on every meta-validation task; see ``evaluate``."""
        return self._scores(self.state.weights, self._validation_tasks(), rows)

    def _validation_tasks(self) -> Episode:
        split = Split.FINAL_VALIDATION if self._first.final else Split.VALIDATION
        return self.evaluation_tasks(split, self.budget.validation_tasks)

    def _scores(
        self, weights: Tensor, episode: Episode, rows: Sequence[int] | None, tasks: Tasks | None = None
    ) -> dict[str, Tensor]:
        """Scores of ``rows`` of all ``weights`` on the tasks of all runs, drawn from ``tasks`` of another domain."""
        counts = self.passes(rows, training=False)
        if rows is not None and len(rows) < len(self.runs):
            index = torch.tensor(rows, device=self.device.device)
            weights, episode = weights[index], episode.of_runs(index)
        with arithmetic(self._first.precision, self.device.device):
            return evaluate(self.learner, self.params(weights, rows), episode, tasks or self.tasks, counts)

    def analyses(self, rows: Sequence[int] | None = None) -> dict[str, Tensor]:
        """What the budget asks for beside scores, ``(rows, tasks)`` each, on the first validation tasks."""
        if not self.budget.analyses:
            return {}
        found = [self._analyses_of(row) for row in (range(len(self.runs)) if rows is None else rows)]
        return {metric: torch.cat([each[metric] for each in found]) for metric in found[0]}

    def _analyses_of(self, row: int) -> dict[str, Tensor]:
        run = self.runs[row]
        learner = LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape)  # T is this run's
        params = self.params(self.state.weights[row : row + 1], [row])
        episode = self._validation_tasks().of_runs(torch.tensor([row], device=self.device.device))
        found: dict[str, list[Tensor]] = {}
        for task in range(min(TASKS, episode.task_count)):
            part = self.tasks.gather(episode.tasks(task, task + 1))
            for name in self.budget.analyses:
                for metric, values in ANALYSES[name](learner, params, part).items():
                    found.setdefault(metric, []).append(values.double())
        return {metric: torch.cat(parts, dim=1) for metric, parts in found.items()}

    def test_scores(self, rows: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Scores of the best weights of ``rows`` on all test tasks, and as ``cross/<dataset>/...`` of other domains."""
        split = Split.FINAL_TEST if self._first.final else Split.TEST
        weights, count = self.state.best_weights, self.budget.test_tasks
        scores = self._scores(weights, self.evaluation_tasks(split, count), rows)
        for name, benchmark in self._first.benchmark.cross().items():
            tasks = benchmark.open(self.device.data)
            found = self._scores(weights, self._draw(tasks, split, count), rows, tasks)
            scores |= {f"cross/{name}/{score}": values for score, values in found.items()}
        return scores
