"""Batch norm by the statistics of the batch at hand, which is one task's support or query set.

Transductive, as in MAML and the authors' code: a query's prediction depends on the other queries of its task. Nothing
is averaged over tasks or runs, and nothing is remembered.
"""

import math

import torch
from torch import Tensor

EPSILON = 1e-5


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise each feature over the examples of its task.

    Args:
        x: ``(R, B, M, d)``, or feature maps ``(R, B, M, d, height, width)``, normalised over M and space.
        weight: Scale, ``(R, d)``, or ``(R, B, d)`` where it is adapted to the task.
        bias: Shift, shaped as ``weight``.

    Returns:
        The shape of ``x``.
    """
    over = (2, *range(4, x.ndim))
    shape = (weight.shape[0], weight.shape[1] if weight.ndim == 3 else 1, 1, weight.shape[-1], *(1,) * (x.ndim - 4))
    count = x.numel() // math.prod(x.shape[axis] for axis in (0, 1, 3))
    # sums and one scale of few numbers: the derivatives of means and of two scales take more tensors of the size of x
    centred = x - x.sum(over, keepdim=True) / count
    variance = centred.square().sum(over, keepdim=True) / count
    return torch.addcmul(bias.view(shape), centred, (variance + EPSILON).rsqrt() * weight.view(shape))
