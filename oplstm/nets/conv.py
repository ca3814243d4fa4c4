"""The 3x3 convolution for weights of a run or of a task, and the Conv-4 network (Section 5)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.nets.batch_norm import batch_norm
from oplstm.nets.linear import uniform
from oplstm.nets.precision import rounded

BLOCKS = 4
KERNEL = 3


def conv2d(x: Tensor, weight: Tensor, bias: Tensor, *, padding: int = 1) -> Tensor:
    """A 3x3 convolution; each run, or each task, is a group of one grouped convolution.

    With weights of tasks at Conv-4's sizes and through two derivatives, products with unfolded images took 2 to 3 times
    as long on the CPU (but 0.8 to 0.9 times for the images themselves), a loop over tasks as long.

    Args:
        x: ``(R, B, M, c_in, height, width)``.
        weight: ``(R, c_out, c_in, 3, 3)``, or ``(R, B, c_out, c_in, 3, 3)`` where it is adapted to the task.
        bias: ``(R, c_out)``, or ``(R, B, c_out)`` where it is adapted to the task, as only with such a weight.
        padding: Zeros around the images.

    Returns:
        ``(R, B, M, c_out, height, width)``; with padding 0, height and width are less by 2.
    """
    runs, tasks, examples, c_in, height, width = x.shape
    c_out = weight.shape[-4]
    if weight.ndim == 5:
        columns = x.permute(1, 2, 0, 3, 4, 5).reshape(tasks * examples, runs * c_in, height, width)
        out = _grouped(columns, weight.flatten(0, 1), bias.flatten(), padding, runs)
        return out.view(tasks, examples, runs, c_out, *out.shape[2:]).permute(2, 0, 1, 3, 4, 5)
    if bias.ndim == 2:
        bias = bias.unsqueeze(1).expand(-1, tasks, -1)
    columns = x.permute(2, 0, 1, 3, 4, 5).reshape(examples, runs * tasks * c_in, height, width)
    out = _grouped(columns, weight.flatten(0, 2), bias.flatten(), padding, runs * tasks)
    return out.view(examples, runs, tasks, c_out, *out.shape[2:]).permute(1, 2, 0, 3, 4, 5)


def _grouped(x: Tensor, weight: Tensor, bias: Tensor, padding: int, groups: int) -> Tensor:
    """PyTorch's grouped convolution in the precision of products, of the type of ``x``."""
    images, kernels, offsets = rounded(x, weight, bias)
    return functional.conv2d(images, kernels, offsets, padding=padding, groups=groups).to(x.dtype)


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


def conv_block(params: Mapping[str, Tensor], block: int, x: Tensor) -> Tensor:
    """One block before its max-pooling: 3x3 convolution, batch norm and ReLU; ``(R, B, M, maps, height, width)``."""
    name = f"conv.{block}"
    x = conv2d(x, params[f"{name}.weight"], params[f"{name}.bias"])
    return torch.relu(batch_norm(x, params[f"{name}.scale"], params[f"{name}.shift"]))


def max_pool(x: Tensor) -> Tensor:
    """2x2 max-pooling, ``(R, B, M, c, height, width)`` to ``(R, B, M, c, height // 2, width // 2)``."""
    pooled: Tensor = functional.max_pool2d(x.flatten(0, 2), 2).unflatten(0, x.shape[:3])
    return pooled


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
        x = max_pool(conv_block(params, block, x))
    return x.flatten(3)


def conv4_features(maps: int, height: int, width: int) -> int:
    """Features that ``conv4`` gives for images of that size."""
    return maps * (height >> BLOCKS) * (width >> BLOCKS)
