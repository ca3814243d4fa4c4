"""The batched linear map and PyTorch's default initialisation of it."""

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from oplstm.nets.arithmetic import matmul, rounds
from oplstm.shape import Shape


def linear(
    x: Annotated[Tensor, Shape("... M d_in")],
    weight: Annotated[Tensor, Shape("... d_out d_in")],
    bias: Annotated[Tensor, Shape("... #d_out")] | None = None,
) -> Annotated[Tensor, Shape("... M d_out")]:
    """``x W^T + b`` with leading batch axes that broadcast."""
    if x.ndim == weight.ndim == 4 and weight.shape[1] == 1 < x.shape[1] and x.shape[0] == weight.shape[0]:
        # one product serves all tasks of a run
        out: Tensor = matmul(x.flatten(1, 2), weight[:, 0].mT).unflatten(1, x.shape[1:3])
    elif x.ndim == weight.ndim == 4 and x.shape[:2] == weight.shape[:2] and not rounds():
        out = _Forward.apply(x, weight)  # type: ignore[no-untyped-call]
    else:
        out = matmul(x, weight.mT)
    return out if bias is None else out + bias.unsqueeze(-2)


class _Forward(torch.autograd.Function):
    """``x W^T``, of which ``_Back`` and ``_Outer`` are the derivatives, as these three are of each other.

    PyTorch's own derivative of a derivative multiplies matrices of the size of W by the few columns of a task, several
    times slower than rows by them, and what it finds of W lies now one way and now the other.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.mT

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad
        return _Back.apply(grad, weight) if of_x else None, _Outer.apply(grad, x) if of_weight else None  # type: ignore[no-untyped-call]


class _Back(torch.autograd.Function):
    """``z W``."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(z, weight)
        return z @ weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        z, weight = ctx.saved_tensors
        of_z, of_weight = ctx.needs_input_grad
        return _Forward.apply(grad, weight) if of_z else None, _Outer.apply(z, grad) if of_weight else None  # type: ignore[no-untyped-call]


class _Outer(torch.autograd.Function):
    """``z^T x``: the outer products of examples, added up."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(z, x)
        return z.mT @ x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        z, x = ctx.saved_tensors
        of_z, of_x = ctx.needs_input_grad
        return _Forward.apply(x, grad) if of_z else None, _Back.apply(z, grad) if of_x else None  # type: ignore[no-untyped-call]


def uniform(*shape: int, bound: float, generator: torch.Generator) -> Annotated[Tensor, Shape("...")]:
    """A float32 tensor of ``shape`` drawn uniformly from [-bound, bound]."""
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def init_linear(
    d_in: int, d_out: int, generator: torch.Generator
) -> tuple[Annotated[Tensor, Shape("d_out d_in")], Annotated[Tensor, Shape("d_out")]]:
    """Weight and bias as ``torch.nn.Linear`` initialises them."""
    bound = 1 / math.sqrt(d_in)
    return uniform(d_out, d_in, bound=bound, generator=generator), uniform(d_out, bound=bound, generator=generator)
