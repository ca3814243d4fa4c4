"""The meta-update of a pack: losses and meta-gradients in blocks, then a step of Adam."""

import itertools
import math
from collections.abc import Sequence

import torch

from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.nets.arithmetic import arithmetic
from oplstm.training.device import Device
from oplstm.training.parameters import Kind
from oplstm.training.run import RunConfig
from oplstm.training.run_state import RunState
from oplstm.training.update.adam import AdamMoments, adam_step
from oplstm.training.update.captured import Captured
from oplstm.training.update.gradients import Constants, gradients_of
from oplstm.training.update.task_feed import TaskFeed


class MetaUpdate:
    """Makes meta-updates of the runs that it was made for, in place.

    Args:
        runs: Their configurations, in the order of the state's rows.
        updates: Meta-updates that each has made.
        state: What changes.
        kinds: Theirs.
        constants: Their untrained parameters.
        tasks: Of the benchmark.
        device: Where to compute, and in which precision.

    Attributes:
        gradients: What finds the meta-gradients.
        feed: The tasks of the coming updates.
    """

    def __init__(
        self,
        runs: Sequence[RunConfig],
        *,
        updates: Sequence[int],
        state: RunState,
        kinds: Sequence[Kind],
        constants: Constants,
        tasks: Tasks,
        device: Device,
    ) -> None:
        self._state, self._device = state, device.device
        self._precision = runs[0].precision
        self._captured = Captured(device.device, capture=device.capture)
        self._lr = device.place(torch.tensor([[run.lr] for run in runs], dtype=torch.float64))
        lives = [run.lr_half_life or math.inf for run in runs]
        self._lives = (
            None if min(lives) == math.inf else device.place(torch.tensor(lives, dtype=torch.float64)[:, None])
        )
        clips = [math.inf if run.grad_clip is None else run.grad_clip for run in runs]
        self._clip = None if min(clips) == math.inf else device.place(torch.tensor(clips, dtype=torch.float64)[:, None])
        sums = [run.meta_batch_size if run.meta_gradient == "sum" else 1 for run in runs]
        self._sums = None if max(sums) == 1 else device.place(torch.tensor(sums, dtype=torch.float64)[:, None])
        self._steps = torch.tensor(updates, dtype=torch.float64, device=device.device)[:, None]
        self.gradients = gradients_of(runs, kinds, state.weights, constants=constants, tasks=tasks)
        self._blocks = _blocks_of_equal([kind.layout.size for kind in kinds])
        split = Split.FINAL_TRAIN if runs[0].final else Split.TRAIN
        streams = [TaskStream(tasks, run.seed, split=split, dtype=device.dtype) for run in runs]
        self.feed = TaskFeed(streams, self.gradients.groups, device.device)

    def step(self, update: int, updates: Sequence[int]) -> None:
        """One meta-update of every run: the pack's ``update``, which is their own ``updates``."""
        self.feed.prepare(update, updates)
        self._captured(self._step)

    def _step(self) -> None:
        """The update itself, which waits for no host and changes the pack's tensors in place; see ``Captured``."""
        state = self._state
        with arithmetic(self._precision, self._device):
            losses, grad = self.gradients.of(self.feed.take())
        if self._sums is not None:
            grad = grad * self._sums
        if self._clip is not None:
            grad = grad.clamp(-self._clip, self._clip)
        losses = losses.double()
        lr = self._lr if self._lives is None else self._lr * torch.exp2(-self._steps / self._lives)
        self._steps += 1
        newly = (state.diverged_at < 0) & ~losses.isfinite()
        state.diverged_at.copy_(torch.where(newly, self._steps[:, 0].long(), state.diverged_at))
        state.loss_sum += losses
        alive = (state.diverged_at < 0).unsqueeze(1)
        for rows, size in self._blocks:
            moments = AdamMoments(state.moments.first[rows, :size], state.moments.second[rows, :size])
            of_rows = {"lr": lr[rows], "steps": self._steps[rows], "alive": alive[rows]}
            adam_step(state.weights[rows, :size], grad[rows, :size], moments, **of_rows)


def _blocks_of_equal(sizes: Sequence[int]) -> list[tuple[slice, int]]:
    """Rows that follow on each other and have equally many parameters, and how many."""
    found, first = [], 0
    for size, group in itertools.groupby(sizes):
        count = len(list(group))
        found.append((slice(first, first + count), size))
        first += count
    return found
