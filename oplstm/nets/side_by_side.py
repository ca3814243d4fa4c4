"""LSTM cells of runs with different widths and meta-batch sizes, side by side in one tensor without any padding.

A state of some runs is a matrix ``(S, M)``: below each other lie the runs, of each its features, of each feature its
tasks; the columns are the examples of a task, or one column that they share. Weights differ in shape, so every run has
products of its own, but all elementwise work is done at once: the four gates of all runs are the slabs of one tensor
``(4, S, M)``. Nothing is repeated and nothing is padded, and no number of one run enters another's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from oplstm.nets.lstm_cell import gated, gated_backward
from oplstm.shape import Shape

GATES = 4
Rows = Annotated[Tensor, Shape("_ #M")]
"""States or inputs of some runs, below each other."""
Anchor = Annotated[Tensor, Shape("1")]
"""Any number that wants a gradient, so that what it enters is differentiated; it changes nothing and gets none."""


@dataclass(frozen=True)
class Linear:
    """A linear map of one run, whose gradients are added up in place.

    Attributes:
        weight: W.
        weight_grad: Where its gradients are added.
        bias: b; empty for none.
        bias_grad: Where those of b are added.
    """

    weight: Annotated[Tensor, Shape("d_out d_in")]
    weight_grad: Annotated[Tensor, Shape("d_out d_in")]
    bias: Annotated[Tensor, Shape("_")]
    bias_grad: Annotated[Tensor, Shape("_")]

    @classmethod
    def without_bias(
        cls, weight: Annotated[Tensor, Shape("d_out d_in")], weight_grad: Annotated[Tensor, Shape("d_out d_in")]
    ) -> "Linear":
        """One whose b is none."""
        return cls(weight, weight_grad, weight.new_empty(0), weight.new_empty(0))

    @property
    def has_bias(self) -> bool:
        """Whether there is a b."""
        return self.bias.numel() > 0


@dataclass(frozen=True)
class Part:
    """What one run contributes to a projection.

    Attributes:
        linear: Its weights.
        tasks: Its tasks: rows of each feature.
        start: Where its rows begin in the tensor that is projected.
    """

    linear: Linear
    tasks: int
    start: int

    @property
    def rows(self) -> int:
        """How many it has there."""
        return int(self.linear.weight.shape[1]) * self.tasks

    def columns(self, x: Rows) -> Annotated[Tensor, Shape("d _")]:
        """Its part of ``x`` as ``(d_in, tasks x examples)``."""
        return x.narrow(0, self.start, self.rows).view(-1, self.tasks * x.shape[1])


class Projection:
    """Linear maps of some runs, ``W x + b``, of what stands below each other.

    Args:
        parts: One a run, in the order of the result.
        slabs: Equal parts of every output that stand apart in the result: 4 gates.
    """

    def __init__(self, parts: Sequence[Part], slabs: int = GATES) -> None:
        self.parts, self.slabs = list(parts), slabs
        self._rows = [part.linear.weight.shape[0] // slabs * part.tasks for part in parts]
        count = len(self.parts)
        self._known_ones: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}
        self._by_slab = [run * slabs + slab for slab in range(slabs) for run in range(count)]
        self._by_run = [slab * count + run for run in range(count) for slab in range(slabs)]

    def __call__(self, x: Rows, anchor: Anchor) -> Annotated[Tensor, Shape("slabs _ #M")]:
        """Project ``x``."""
        projected: Tensor = _Project.apply(x, anchor, self)  # type: ignore[no-untyped-call]
        return projected

    def forward(self, x: Rows) -> Annotated[Tensor, Shape("slabs _ #M")]:
        """The result for ``x``."""
        m = x.shape[1]
        by_run = x.new_empty(self.slabs * sum(self._rows) * m)
        places = by_run.split([self.slabs * rows * m for rows in self._rows])
        for part, place in zip(self.parts, places, strict=True):
            columns, linear = part.columns(x), part.linear
            out = place.view(-1, columns.shape[1])
            if linear.has_bias:
                torch.addmm(linear.bias.unsqueeze(1), linear.weight, columns, out=out)
            else:
                torch.mm(linear.weight, columns, out=out)
        sizes = [rows * m for rows in self._rows for _ in range(self.slabs)]
        return self._ordered(by_run, sizes, self._by_slab).view(self.slabs, -1, m)

    def backward(self, grad: Annotated[Tensor, Shape("slabs _ #M")], x: Rows, *, wanted: bool) -> Rows | None:
        """Add up the gradients of the weights; returns that of ``x`` if it is wanted."""
        m = x.shape[1]
        sizes = [rows * m for _ in range(self.slabs) for rows in self._rows]
        by_run = self._ordered(grad.reshape(-1), sizes, self._by_run)
        places = by_run.split([self.slabs * rows * m for rows in self._rows])
        grad_x = torch.zeros_like(x) if wanted else None
        for part, place in zip(self.parts, places, strict=True):
            columns, linear = part.columns(x), part.linear
            out = place.view(-1, columns.shape[1])
            linear.weight_grad.addmm_(out, columns.T)
            if linear.has_bias:
                linear.bias_grad.addmv_(out, self._ones(columns))
            if grad_x is not None:
                torch.mm(linear.weight.T, out, out=part.columns(grad_x))
        return grad_x

    def _ones(self, columns: Annotated[Tensor, Shape("_ _")]) -> Annotated[Tensor, Shape("_")]:
        key = columns.shape[1], columns.dtype, columns.device
        if key not in self._known_ones:
            self._known_ones[key] = columns.new_ones(columns.shape[1])
        return self._known_ones[key]

    def _ordered(self, flat: Tensor, sizes: Sequence[int], order: Sequence[int]) -> Tensor:
        if len(self.parts) == 1:
            return flat
        blocks = flat.split(sizes)
        return torch.cat([blocks[place] for place in order])


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, projection: Projection) -> Tensor:
        ctx.save_for_backward(x)
        ctx.projection = projection
        return projection.forward(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return ctx.projection.backward(grad, x, wanted=ctx.needs_input_grad[0]), None, None


class _ReadOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, anchor: Tensor, parts: Sequence[Part]) -> Tensor:
        ctx.save_for_backward(h)
        ctx.parts = parts
        found = [torch.addmm(part.linear.bias, part.columns(h).T, part.linear.weight.T) for part in parts]
        return torch.cat(found).view(-1, h.shape[1], found[0].shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (h,) = ctx.saved_tensors
        grad_h = torch.zeros_like(h)
        flat = grad.reshape(-1, grad.shape[2])
        pieces = flat.split([part.tasks * h.shape[1] for part in ctx.parts])
        for part, piece in zip(ctx.parts, pieces, strict=True):
            linear = part.linear
            linear.weight_grad.addmm_(piece.T, part.columns(h).T)
            linear.bias_grad.add_(piece.sum(0))
            torch.mm(linear.weight.T, piece.T, out=part.columns(grad_h))
        return grad_h, None, None


def read_out(h: Rows, parts: Sequence[Part], anchor: Anchor) -> Annotated[Tensor, Shape("_ #M d_y")]:
    """Linear maps of some runs of states, with features last: one row a task, those of a run one after the other."""
    result: Tensor = _ReadOut.apply(h, anchor, parts)  # type: ignore[no-untyped-call]
    return result


class _Cell(torch.autograd.Function):
    """Eqs. 1-6 from the gates' projections of x and of h, elementwise."""

    @staticmethod
    def forward(ctx: Any, of_x: Tensor, of_h: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        gates = of_x + of_h
        h, c_next, tanh_c = gated(gates, c, axis=0)
        ctx.save_for_backward(gates, c, tanh_c)
        ctx.shared = of_h.shape[2] != gates.shape[2]
        return h, c_next

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        gates, c, tanh_c = ctx.saved_tensors
        grad_gates, own_c = gated_backward(grad_h, grad_c, gates=gates, c=c, tanh_c=tanh_c, axis=0)
        of_h = grad_gates.sum(2, keepdim=True) if ctx.shared else grad_gates
        return grad_gates, of_h, own_c if c is not None and ctx.needs_input_grad[2] else None


def cell(
    of_x: Annotated[Tensor, Shape("4 S M")], of_h: Annotated[Tensor, Shape("4 S #M")], c: Rows | None
) -> tuple[Annotated[Tensor, Shape("S M")], Annotated[Tensor, Shape("S M")]]:
    """One LSTM step (Eqs. 1-6) of all runs.

    Args:
        of_x: What the inputs project to: gates in the order input, forget, output, candidate.
        of_h: What the hidden states do, biases included.
        c: Cell states before; None for zeros.

    Returns:
        h and c after.
    """
    after: tuple[Tensor, Tensor] = _Cell.apply(of_x, of_h, c)  # type: ignore[no-untyped-call]
    return after
