"""The batched linear map and PyTorch's default initialisation of it."""

import math

import torch
from torch import Tensor

from oplstm.nets.precision import matmul


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x W^T + b`` with leading batch axes that broadcast.

    Args:
        x: Inputs, ``(..., M, d_in)``.
        weight: ``(..., d_out, d_in)``.
        bias: ``(..., d_out)``, or None.

    Returns:
        ``(..., M, d_out)``.
    """
    if x.ndim == weight.ndim == 4 and weight.shape[1] == 1 < x.shape[1] and x.shape[0] == weight.shape[0]:
        # one product serves all tasks of a run
        out: Tensor = matmul(x.flatten(1, 2), weight[:, 0].mT).unflatten(1, x.shape[1:3])
    else:
        out = matmul(x, weight.mT)
    return out if bias is None else out + bias.unsqueeze(-2)


def uniform(*shape: int, bound: float, generator: torch.Generator) -> Tensor:
    """A float32 tensor of ``shape`` drawn uniformly from [-bound, bound]."""
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def init_linear(d_in: int, d_out: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weight ``(d_out, d_in)`` and bias ``(d_out,)`` as ``torch.nn.Linear`` initialises them."""
    bound = 1 / math.sqrt(d_in)
    return uniform(d_out, d_in, bound=bound, generator=generator), uniform(d_out, bound=bound, generator=generator)
