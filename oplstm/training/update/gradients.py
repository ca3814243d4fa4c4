"""Losses and meta-gradients of a pack: of runs of one kind, whose tasks lie in groups, or of several kinds.

Runs of several kinds are trained side by side where their learner has a program for that, else kind by kind.
"""

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, NamedTuple, Protocol

import torch
from torch import Tensor

from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.episode import Episode
from oplstm.learners.side_by_side.program import SideBySide
from oplstm.shape import Shape
from oplstm.tensors import Params, PerRun
from oplstm.training.evaluation import training_losses
from oplstm.training.parameters import Kind
from oplstm.training.run import RunConfig
from oplstm.training.update.blocks import blocks, saved_bytes, tasks_at_once
from oplstm.training.update.task_groups import TaskGroups

Weights = Annotated[Tensor, Shape("R P")]
Constants = Callable[[Sequence[int]], Params]
"""The untrained parameters of some runs of one kind, by their places."""


class Gradients(Protocol):
    """Finds losses and meta-gradients."""

    groups: TaskGroups

    def of(self, batch: Annotated[Episode, Shape("G g")]) -> tuple[PerRun, Weights]:
        """The training losses, and their meta-gradients, of tasks in groups."""
        ...


class GroupedGradients:
    """Of runs of one kind: the weights of a run stand once for each of its groups.

    Args:
        runs: Their configurations, in the order of ``weights``.
        kind: Theirs.
        weights: Which change in place.
        constants: Their untrained parameters.
        tasks: Of the benchmark.

    Attributes:
        groups: How tasks must lie.
        at_once: Tasks of a block. On a CPU the first update finds it; a GPU wants few large kernels: all.
    """

    def __init__(
        self, runs: Sequence[RunConfig], kind: Kind, weights: Weights, *, constants: Params, tasks: Tasks
    ) -> None:
        self.groups = TaskGroups([run.meta_batch_size for run in runs])
        self._kind, self._weights, self._constants, self._tasks = kind, weights, constants, tasks
        self._task_weights = self.groups.weights.to(weights)
        self._counts = self.groups.per_group([run.passes(training=True) for run in runs])
        self.at_once = None if weights.device.type == "cpu" else self._task_weights.numel()

    def of(self, batch: Annotated[Episode, Shape("G g")]) -> tuple[PerRun, Weights]:
        """The training losses, and their meta-gradients, of tasks in groups; see ``blocks``."""
        groups = self.groups
        weights = groups.repeat(self._weights.detach())
        losses, grad = weights.new_zeros(len(weights)), torch.zeros_like(weights)
        if self.at_once is None:
            first = slice(0, 1)
            leaf = weights[first].requires_grad_()
            self.at_once = tasks_at_once(saved_bytes(lambda: self._losses(leaf, batch, rows=first, tasks=first), leaf))
        for rows, tasks in blocks(len(weights), groups.size, self.at_once):
            leaf = weights[rows].requires_grad_()
            found = self._losses(leaf, batch, rows=rows, tasks=tasks)
            grad[rows] += torch.autograd.grad(found.sum(), leaf)[0]
            losses[rows] += found.detach()
        return groups.sum(losses), groups.sum(grad)

    def _losses(
        self,
        weights: Annotated[Tensor, Shape("rows P")],
        batch: Annotated[Episode, Shape("G g")],
        *,
        rows: slice,
        tasks: slice,
    ) -> Annotated[Tensor, Shape("rows")]:
        """What ``tasks`` of ``rows`` of the groups, whose ``weights`` are given, add to the training losses."""
        params: Mapping[str, Tensor] = {
            **{name: self.groups.repeat(value)[rows] for name, value in self._constants.items()},
            **self._kind.layout.views(weights),
        }
        part = self._tasks.gather(batch.mapped(lambda part: part[rows, tasks]))
        losses = training_losses(self._kind.learner, params, batch=part, counts=self._counts[rows])
        return (losses * self._task_weights[rows, tasks]).sum(1)


class SideBySideGradients:
    """Of runs of one family, by its own program; tasks are groups of one.

    Args:
        program: Of the runs, which adds up their gradients in ``grad``.
        grad: Of a run with fewer parameters than others the rest of its row is zero.
        sizes: Their meta-batch sizes.
        tasks: Of the benchmark.

    Attributes:
        groups: How tasks must lie.
    """

    def __init__(self, program: SideBySide, grad: Weights, *, sizes: Sequence[int], tasks: Tasks) -> None:
        self.groups = TaskGroups(sizes, size=1)
        self._program, self._grad, self._tasks = program, grad, tasks

    def of(self, batch: Annotated[Episode, Shape("G 1")]) -> tuple[PerRun, Weights]:
        """The training losses and their meta-gradients, which the next call overwrites."""
        self._grad.zero_()
        part = self._tasks.gather(batch)
        return self._program.losses(part.mapped(lambda tensor: tensor[:, 0])), self._grad


class GradientsByKind:
    """Of runs of several kinds: of one kind after the other, each as if it had the pack to itself.

    Where updates are recorded, calls cost next to nothing, and it takes as long as a pack of each kind.

    Args:
        runs: Their configurations, in the order of ``weights``.
        kinds: Theirs.
        weights: Which change in place.
        constants: Their untrained parameters.
        tasks: Of the benchmark.

    Attributes:
        groups: How tasks must lie: one by one. Every kind takes its own, in its own groups.
    """

    def __init__(
        self, runs: Sequence[RunConfig], kinds: Sequence[Kind], weights: Weights, *, constants: Constants, tasks: Tasks
    ) -> None:
        self._weights, self._grad, self._losses = weights, torch.zeros_like(weights), weights.new_zeros(len(runs))
        self.groups = TaskGroups([run.meta_batch_size for run in runs], size=1)
        firsts = [*itertools.accumulate(self.groups.sizes, initial=0)]
        by_kind: dict[Hashable, list[int]] = {}
        for row, run in enumerate(runs):
            by_kind.setdefault(run.kind, []).append(row)
        self._parts = []
        for rows in by_kind.values():
            kind, own = kinds[rows[0]], weights.new_empty(len(rows), kinds[rows[0]].layout.size)
            gradients = GroupedGradients([runs[row] for row in rows], kind, own, constants=constants(rows), tasks=tasks)
            places = gradients.groups.places([firsts[row] for row in rows])
            at = torch.tensor(rows, device=weights.device)
            self._parts.append(_OfKind(gradients, own, at, places.to(weights.device)))

    def of(self, batch: Annotated[Episode, Shape("G 1")]) -> tuple[PerRun, Weights]:
        """The training losses and their meta-gradients, which the next call overwrites."""
        for part in self._parts:
            size = part.weights.shape[1]
            part.weights.copy_(self._weights[:, :size].index_select(0, part.rows))
            losses, grad = part.gradients.of(part.own_of(batch))
            self._losses.index_copy_(0, part.rows, losses)
            self._grad[:, :size].index_copy_(0, part.rows, grad)
        return self._losses, self._grad


class _OfKind(NamedTuple):
    """What makes the gradients of the runs of one kind.

    Attributes:
        gradients: Theirs.
        weights: A copy of their weights.
        rows: Their places.
        places: Those of their tasks, in groups.
    """

    gradients: GroupedGradients
    weights: Weights
    rows: Annotated[Tensor, Shape("R")]
    places: Annotated[Tensor, Shape("G g")]

    def own_of(self, batch: Annotated[Episode, Shape("tasks 1")]) -> Annotated[Episode, Shape("G g")]:
        """Their tasks among those of all runs."""
        places, shape = self.places.flatten(), self.places.shape
        return batch.mapped(lambda part: part[:, 0].index_select(0, places).unflatten(0, shape))


def gradients_of(
    runs: Sequence[RunConfig], kinds: Sequence[Kind], weights: Weights, *, constants: Constants, tasks: Tasks
) -> Gradients:
    """What finds the meta-gradients of these runs: in groups where they are alike, else by a program of their learner.

    One run alone is quicker by that program, several that are alike in groups. Where there is none, runs of several
    kinds are trained kind by kind.

    Args:
        runs: Their configurations, in the order of ``weights``.
        kinds: Theirs.
        weights: Which change in place.
        constants: Their untrained parameters.
        tasks: Of the benchmark.
    """
    sizes, learner = [run.meta_batch_size for run in runs], kinds[0].learner
    of_one_kind = len({run.kind for run in runs}) == 1
    are_alike = of_one_kind and len(runs) > 1 and len(set(sizes)) == 1
    if not are_alike and runs[0].precision != "bf16":
        grad = torch.zeros_like(weights)
        own, own_grads = (
            [kind.layout.of_row(row) for kind, row in zip(kinds, rows, strict=True)] for rows in (weights, grad)
        )
        configs = [run.hyperparameters for run in runs]
        program = learner.side_by_side(configs, sizes, shape=learner.shape, params=own, grads=own_grads)
        if program is not None:
            return SideBySideGradients(program, grad, sizes=sizes, tasks=tasks)
    if not of_one_kind:
        return GradientsByKind(runs, kinds, weights, constants=constants, tasks=tasks)
    return GroupedGradients(runs, kinds[0], weights, constants=constants(range(len(runs))), tasks=tasks)
