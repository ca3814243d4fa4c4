"""The 3x3 convolution for weights of a run or of a task, and the Conv-4 network (Section 5)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.nets.batch_norm import batch_norm
from oplstm.nets.linear import uniform

BLOCKS = 4
KERNEL = 3


def conv2d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution with padding 1; each run, or each task, is a group of one grouped convolution.

    Args:
        x: ``(R, B, M, c_in, height, width)``.
        weight: ``(R, c_out, c_in, 3, 3)``, or ``(R, B, c_out, c_in, 3, 3)`` where it is adapted to the task.
        bias: ``(R, c_out)`` or ``(R, B, c_out)``.

    Returns:
        ``(R, B, M, c_out, height, width)``.
    """
    runs, tasks, examples, c_in, height, width = x.shape
    c_out = weight.shape[-4]
    if weight.ndim == 5:
        columns = x.permute(1, 2, 0, 3, 4, 5).reshape(tasks * examples, runs * c_in, height, width)
        out = functional.conv2d(columns, weight.flatten(0, 1), bias.flatten(), padding=1, groups=runs)
        return out.view(tasks, examples, runs, c_out, height, width).permute(2, 0, 1, 3, 4, 5)
    columns = x.permute(2, 0, 1, 3, 4, 5).reshape(examples, runs * tasks * c_in, height, width)
    out = functional.conv2d(columns, weight.flatten(0, 2), bias.flatten(), padding=1, groups=runs * tasks)
    return out.view(examples, runs, tasks, c_out, height, width).permute(1, 2, 0, 3, 4, 5)


def init_conv4(c_in: int, maps: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters ``conv.l.weight``, ``conv.l.bias``, ``conv.l.scale``, ``conv.l.shift`` of one run, as PyTorch's."""
    params = {}
    for block in range(BLOCKS):
        bound = 1 / math.sqrt(c_in * KERNEL * KERNEL)
        params[f"conv.{block}.weight"] = uniform(maps, c_in, KERNEL, KERNEL, bound=bound, generator=generator)
        params[f"conv.{block}.bias"] = uniform(maps, bound=bound, generator=generator)
        params[f"conv.{block}.scale"] = torch.ones(maps)
        params[f"conv.{block}.shift"] = torch.zeros(maps)
        c_in = maps
    return params


def conv4(params: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Conv-4: four blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling.

    Args:
        params: Of a run or of a task; see ``init_conv4``.
        images: ``(R, B, M, c, height, width)``.

    Returns:
        Features ``(R, B, M, maps * (height // 16) * (width // 16))``.
    """
    x = images
    for block in range(BLOCKS):
        name = f"conv.{block}"
        x = conv2d(x, params[f"{name}.weight"], params[f"{name}.bias"])
        x = torch.relu(batch_norm(x, params[f"{name}.scale"], params[f"{name}.shift"]))
        x = functional.max_pool2d(x.flatten(0, 2), 2).unflatten(0, x.shape[:3])
    return x.flatten(3)


def conv4_features(maps: int, height: int, width: int) -> int:
    """Features that ``conv4`` gives for images of that size."""
    return maps * (height >> BLOCKS) * (width >> BLOCKS)
