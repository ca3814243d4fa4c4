"""The meta-update of a pack: losses and meta-gradients in blocks, then a step of Adam."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.episode import Episode
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.learner import AnyLearner
from oplstm.nets.arithmetic import arithmetic
from oplstm.shape import Shape
from oplstm.tensors import Params, PerRun
from oplstm.training.device import Device
from oplstm.training.evaluation import training_losses
from oplstm.training.parameters import Layout
from oplstm.training.run import RunConfig
from oplstm.training.run_state import RunState
from oplstm.training.update.adam import adam_step
from oplstm.training.update.blocks import blocks, saved_bytes, tasks_at_once
from oplstm.training.update.captured import Captured
from oplstm.training.update.task_feed import TaskFeed
from oplstm.training.update.task_groups import TaskGroups


class MetaUpdate:
    """Makes meta-updates of the runs that it was made for, in place.

    Args:
        runs: Their configurations, in the order of the state's rows.
        updates: Meta-updates that each has made.
        state: What changes.
        learner: Of all of them.
        layout: Of their weights.
        constants: Their untrained parameters.
        tasks: Of the benchmark.
        device: Where to compute, and in which precision.

    Attributes:
        feed: The tasks of the coming updates.
        at_once: Tasks of a block. On a CPU the first update finds it; a GPU wants few large kernels: all.
    """

    def __init__(
        self,
        runs: Sequence[RunConfig],
        *,
        updates: Sequence[int],
        state: RunState,
        learner: AnyLearner,
        layout: Layout,
        constants: Params,
        tasks: Tasks,
        device: Device,
    ) -> None:
        self._state, self._learner, self._layout, self._constants = state, learner, layout, constants
        self._tasks, self._device = tasks, device.device
        self._precision = runs[0].precision
        self._captured = Captured(device.device, capture=device.capture)
        self._lr = device.place(torch.tensor([[run.lr] for run in runs], dtype=torch.float64))
        clips = [math.inf if run.grad_clip is None else run.grad_clip for run in runs]
        self._clip = None if min(clips) == math.inf else device.place(torch.tensor(clips, dtype=torch.float64)[:, None])
        sums = [run.meta_batch_size if run.meta_gradient == "sum" else 1 for run in runs]
        self._sums = None if max(sums) == 1 else device.place(torch.tensor(sums, dtype=torch.float64)[:, None])
        self._steps = torch.tensor(updates, dtype=torch.float64, device=device.device)[:, None]
        self._groups = TaskGroups([run.meta_batch_size for run in runs])
        self._task_weights = device.place(self._groups.weights)
        self._counts = self._groups.per_group([run.passes(training=True) for run in runs])
        self.at_once = None if device.device.type == "cpu" else self._task_weights.numel()
        split = Split.FINAL_TRAIN if runs[0].final else Split.TRAIN
        streams = [TaskStream(tasks, run.seed, split, device.dtype) for run in runs]
        self.feed = TaskFeed(streams, self._groups, device.device)

    def step(self, update: int, updates: Sequence[int]) -> None:
        """One meta-update of every run: the pack's ``update``, which is their own ``updates``."""
        self.feed.prepare(update, updates)
        self._captured(self._step)

    def _step(self) -> None:
        """The update itself, which waits for no host and changes the pack's tensors in place; see ``Captured``."""
        state = self._state
        with arithmetic(self._precision, self._device):
            losses, grad = self.gradients(self.feed.take())
        if self._sums is not None:
            grad = grad * self._sums
        if self._clip is not None:
            grad = grad.clamp(-self._clip, self._clip)
        losses = losses.double()
        self._steps += 1
        newly = (state.diverged_at < 0) & ~losses.isfinite()
        state.diverged_at.copy_(torch.where(newly, self._steps[:, 0].long(), state.diverged_at))
        state.loss_sum += losses
        alive = (state.diverged_at < 0).unsqueeze(1)
        adam_step(state.weights, grad, state.moments, lr=self._lr, steps=self._steps, alive=alive)

    def gradients(self, batch: Annotated[Episode, Shape("G g")]) -> tuple[PerRun, Annotated[Tensor, Shape("R P")]]:
        """The training losses, and their meta-gradients, of tasks in groups; see ``blocks``."""
        groups = self._groups
        weights = groups.repeat(self._state.weights.detach())
        losses, grad = weights.new_zeros(len(weights)), torch.zeros_like(weights)
        if self.at_once is None:
            first = slice(0, 1)
            leaf = weights[first].requires_grad_()
            self.at_once = tasks_at_once(saved_bytes(lambda: self._losses(leaf, batch, first, first), leaf))
        for rows, tasks in blocks(len(weights), groups.size, self.at_once):
            leaf = weights[rows].requires_grad_()
            found = self._losses(leaf, batch, rows, tasks)
            grad[rows] += torch.autograd.grad(found.sum(), leaf)[0]
            losses[rows] += found.detach()
        return groups.sum(losses), groups.sum(grad)

    def _losses(
        self,
        weights: Annotated[Tensor, Shape("rows P")],
        batch: Annotated[Episode, Shape("G g")],
        rows: slice,
        tasks: slice,
    ) -> Annotated[Tensor, Shape("rows")]:
        """What ``tasks`` of ``rows`` of the groups, whose ``weights`` are given, add to the training losses."""
        params: Mapping[str, Tensor] = {
            **{name: self._groups.repeat(value)[rows] for name, value in self._constants.items()},
            **self._layout.views(weights),
        }
        part = self._tasks.gather(batch.mapped(lambda part: part[rows, tasks]))
        losses = training_losses(self._learner, params, part, self._counts[rows])
        return (losses * self._task_weights[rows, tasks]).sum(1)
