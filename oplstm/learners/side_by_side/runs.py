"""The stacked cells of LSTMs of different shapes; see ``oplstm.nets.side_by_side`` for how they lie."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from oplstm.learners.lstm_config import LSTMConfig
from oplstm.learners.side_by_side.program import Weights
from oplstm.nets.side_by_side import Anchor, Linear, Part, Projection, Rows, cell, read_out
from oplstm.shape import Shape

Columns = Annotated[Tensor, Shape("_ G _")]
"""Inputs or targets of the tasks of all runs, features first."""
States = tuple[Annotated[Tensor, Shape("_ #M")], Annotated[Tensor, Shape("_ #M")]]
"""The pair (h, c) of a layer."""


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        config: Its configuration.
        tasks: B.
        first: Which of the tasks of all runs is its first.
        extra: Channels beside x.
        of_x: The linear maps of what is below each cell.
        of_h: Those of the hidden states, with the biases.
        out: The read-out.
    """

    config: LSTMConfig
    tasks: int
    first: int
    extra: int
    of_x: Sequence[Linear]
    of_h: Sequence[Linear]
    out: Linear

    @property
    def depth(self) -> int:
        """Its cells."""
        return len(self.config.widths)

    @property
    def predicted(self) -> range:
        """The passes after which its queries are predicted."""
        passes = self.config.passes
        return range(passes) if self.config.loss_on == "every" else range(passes - 1, passes)

    @property
    def is_told(self) -> bool:
        """Whether an example carries its own target."""
        return self.config.encoding == "current_target"

    def size(self, layer: int) -> int:
        """Its rows in the states of a layer."""
        return self.config.widths[layer] * self.tasks

    @property
    def own_tasks(self) -> range:
        """Which of the tasks of all runs are its own."""
        return range(self.first, self.first + self.tasks)

    def of(self, columns: Columns) -> Annotated[Tensor, Shape("_ M")]:
        """Its tasks as rows."""
        return columns[:, self.first : self.first + self.tasks].reshape(-1, columns.shape[2])


class Stack:
    """The stacked cells of some runs.

    Args:
        runs: The runs.
        tasks: How many tasks of each.

    Attributes:
        members: The runs that have each layer, by their places.
        starts: Where the rows of each of them begin there.
        sizes: S of each layer.
    """

    def __init__(self, runs: Sequence[Run], tasks: Sequence[int]) -> None:
        self._runs, self._tasks = runs, tasks
        layers = range(max(run.depth for run in runs))
        self.members = [[row for row, run in enumerate(runs) if run.depth > layer] for layer in layers]
        inputs = [run.of_x[0].weight.shape[1] for run in runs]
        below = self._starts(range(len(runs)), inputs)
        self.starts: list[dict[int, int]] = []
        self.sizes: list[int] = []
        self._of_x, self._of_h = [], []
        for layer, members in enumerate(self.members):
            widths = [run.config.widths[layer] if run.depth > layer else 0 for run in runs]
            starts = self._starts(members, widths)
            self._of_x.append(Projection([Part(runs[row].of_x[layer], tasks[row], below[row]) for row in members]))
            self._of_h.append(Projection([Part(runs[row].of_h[layer], tasks[row], starts[row]) for row in members]))
            self.starts.append(starts)
            self.sizes.append(sum(widths[row] * tasks[row] for row in members))
            below = starts
        self.readers = functools.cache(self._readers)

    def _starts(self, rows: Iterable[int], widths: Sequence[int]) -> dict[int, int]:
        starts, start = {}, 0
        for row in rows:
            starts[row] = start
            start += widths[row] * self._tasks[row]
        return starts

    def projected(self, inputs: Rows, anchor: Anchor) -> Annotated[Tensor, Shape("4 _ _")]:
        """What inputs add to the gates of the lowest layer."""
        return self._of_x[0](inputs, anchor)

    def step(
        self, of_x: Annotated[Tensor, Shape("4 _ _")], h: Sequence[Rows], *, c: Sequence[Rows | None], anchor: Anchor
    ) -> list[States]:
        """The states of every layer after a step from h and c, whose first rows are those of these runs."""
        after: list[States] = []
        for layer, size in enumerate(self.sizes):
            if layer > 0:
                of_x = self._of_x[layer](after[-1][0], anchor)
            before = c[layer]
            of_h = self._of_h[layer](first_rows(h[layer], size), anchor)
            after.append(
                cell(first_rows(of_x, size, axis=1), of_h, None if before is None else first_rows(before, size))
            )
        return after

    def read_out(
        self, after: Sequence[States], rows: tuple[int, ...], anchor: Anchor
    ) -> Annotated[Tensor, Shape("_ _ d_y")]:
        """The predictions ``(tasks, M, d_y)`` of ``rows``, whose tasks follow on each other as ``order`` says."""
        return torch.cat([read_out(after[layer][0], parts, anchor) for layer, parts in self.readers(rows)[1]])

    def order(self, rows: tuple[int, ...]) -> list[int]:
        """In which order ``read_out`` has ``rows``."""
        return self.readers(rows)[0]

    def _readers(self, rows: tuple[int, ...]) -> tuple[list[int], list[tuple[int, list[Part]]]]:
        order: list[int] = []
        found = []
        for layer, starts in enumerate(self.starts):
            top = [row for row in rows if self._runs[row].depth == layer + 1]
            if top:
                order += top
                found.append((layer, [Part(self._runs[row].out, self._tasks[row], starts[row]) for row in top]))
        return order, found


class Choice:
    """Takes one tensor for the rows of some runs and another for those of the others.

    Args:
        truths: Which each run takes.
        sizes: Its rows.
        device: Of the tensors.
    """

    def __init__(self, truths: Sequence[bool], sizes: Sequence[int], device: torch.device) -> None:
        self.is_always, self.is_never = all(truths), not any(truths)
        self._mask = torch.tensor(truths).repeat_interleave(torch.tensor(sizes)).unsqueeze(1).to(device)

    def __call__(self, one: Rows, other: Rows) -> Rows:
        """``one`` where it is true, else ``other``, of the first runs."""
        if self.is_always or self.is_never:
            return one if self.is_always else other
        return torch.where(self._mask[: len(one)], one, other)


class Bias(NamedTuple):
    """A bias of Eqs. 1-4, which is stored as the sum of two vectors (see ``init_lstm_stack``).

    Attributes:
        linear: The map that has the sum.
        parts: The two.
        grads: Where their gradients are added.
    """

    linear: Linear
    parts: Sequence[Annotated[Tensor, Shape("_")]]
    grads: Sequence[Annotated[Tensor, Shape("_")]]

    def add_up(self) -> None:
        """Before an update: the sum as the parts are now."""
        torch.add(*self.parts, out=self.linear.bias)
        self.linear.bias_grad.zero_()

    def hand_on(self) -> None:
        """After it: the gradient is that of both."""
        for grad in self.grads:
            grad.add_(self.linear.bias_grad)


def linear_maps(depth: int, own: Weights, grads: Weights) -> tuple[list[Linear], list[Bias], Linear]:
    """Of a run with these parameters: of what is below each cell, of its hidden states, and the read-out."""
    of_x, of_h = [], []
    for name in (f"cell.{layer}" for layer in range(depth)):
        of_x.append(Linear.without_bias(own[f"{name}.w_x"], grads[f"{name}.w_x"]))
        parts, of_parts = ([of[f"{name}.{bias}"] for bias in ("b_x", "b_h")] for of in (own, grads))
        linear = Linear(
            own[f"{name}.w_h"], grads[f"{name}.w_h"], torch.empty_like(parts[0]), torch.empty_like(parts[0])
        )
        of_h.append(Bias(linear, parts, of_parts))
    weight, bias = "readout.weight", "readout.bias"
    return of_x, of_h, Linear(own[weight], grads[weight], own[bias], grads[bias])


def first_rows(states: Annotated[Tensor, Shape("...")], size: int, axis: int = 0) -> Annotated[Tensor, Shape("...")]:
    """The first rows; the tensor itself where that is all of it, which saves the derivative a copy."""
    return states if states.shape[axis] == size else states.narrow(axis, 0, size)


def columns_of(examples: Annotated[Tensor, Shape("G M d")]) -> Columns:
    """Features first."""
    return examples.permute(2, 0, 1)
