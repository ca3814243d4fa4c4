"""The batched linear map and PyTorch's default initialisation of it."""

import math
from typing import Annotated

import torch
from torch import Tensor

from oplstm.nets.arithmetic import matmul
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
    else:
        out = matmul(x, weight.mT)
    return out if bias is None else out + bias.unsqueeze(-2)


def uniform(*shape: int, bound: float, generator: torch.Generator) -> Annotated[Tensor, Shape("...")]:
    """A float32 tensor of ``shape`` drawn uniformly from [-bound, bound]."""
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def init_linear(
    d_in: int, d_out: int, generator: torch.Generator
) -> tuple[Annotated[Tensor, Shape("d_out d_in")], Annotated[Tensor, Shape("d_out")]]:
    """Weight and bias as ``torch.nn.Linear`` initialises them."""
    bound = 1 / math.sqrt(d_in)
    return uniform(d_out, d_in, bound=bound, generator=generator), uniform(d_out, bound=bound, generator=generator)
