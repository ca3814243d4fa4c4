"""The 3x3 convolution for weights of a run or of a task, and the Conv-4 network (Section 5)."""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.nets.arithmetic import rounded
from oplstm.nets.batch_norm import batch_norm
from oplstm.nets.linear import uniform
from oplstm.shape import Shape
from oplstm.tensors import Features, Params, Pictures

BLOCKS = 4
KERNEL = 3


def conv2d(
    x: Annotated[Tensor, Shape("R B M c_in h w")],
    weight: Annotated[Tensor, Shape("R B? c_out c_in 3 3")],
    bias: Annotated[Tensor, Shape("R B? c_out")],
    *,
    padding: int = 1,
) -> Annotated[Tensor, Shape("R B M c_out _ _")]:
    """A 3x3 convolution; each run, or each task, is a group of one grouped convolution.

    With weights of tasks at Conv-4's sizes and through two derivatives, products with unfolded images took 2 to 3 times
    as long on the CPU (but 0.8 to 0.9 times for the images themselves), a loop over tasks as long.

    Args:
        x: Images, or feature maps.
        weight: With a B where it is adapted to the task.
        bias: With a B where it is adapted to the task, as only with such a weight.
        padding: Zeros around the images.

    Returns:
        Maps as high and wide as ``x``; with padding 0, both are less by 2.
    """
    runs, tasks, examples, c_in, height, width = x.shape
    c_out = weight.shape[-4]
    if weight.ndim == 5:
        columns = x.permute(1, 2, 0, 3, 4, 5).reshape(tasks * examples, runs * c_in, height, width)
        out = _grouped(columns, weight.flatten(0, 1), bias=bias.flatten(), padding=padding, groups=runs)
        return out.view(tasks, examples, runs, c_out, *out.shape[2:]).permute(2, 0, 1, 3, 4, 5)
    if bias.ndim == 2:
        bias = bias.unsqueeze(1).expand(-1, tasks, -1)
    columns = x.permute(2, 0, 1, 3, 4, 5).reshape(examples, runs * tasks * c_in, height, width)
    out = _grouped(columns, weight.flatten(0, 2), bias=bias.flatten(), padding=padding, groups=runs * tasks)
    return out.view(examples, runs, tasks, c_out, *out.shape[2:]).permute(1, 2, 0, 3, 4, 5)


def _grouped(x: Tensor, weight: Tensor, *, bias: Tensor, padding: int, groups: int) -> Tensor:
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


def conv_block(params: Params, block: int, x: Pictures) -> Annotated[Tensor, Shape("R B M c_out h w")]:
    """One block before its max-pooling: 3x3 convolution, batch norm and ReLU."""
    name = f"conv.{block}"
    x = conv2d(x, params[f"{name}.weight"], params[f"{name}.bias"])
    return torch.relu(batch_norm(x, params[f"{name}.scale"], params[f"{name}.shift"]))


def max_pool(x: Pictures) -> Annotated[Tensor, Shape("R B M c h//2 w//2")]:
    """2x2 max-pooling."""
    pooled: Tensor = functional.max_pool2d(x.flatten(0, 2), 2).unflatten(0, x.shape[:3])
    return pooled


def conv4(params: Params, images: Pictures) -> Features:
    """Conv-4: four blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling.

    Args:
        params: Of a run or of a task; see ``init_conv4``.
        images: Of any size from 16 x 16.

    Returns:
        ``conv4_features`` of each image.
    """
    x = images
    for block in range(BLOCKS):
        x = max_pool(conv_block(params, block, x))
    return x.flatten(3)


def conv4_features(maps: int, height: int, width: int) -> int:
    """Features that ``conv4`` gives for images of that size."""
    return maps * (height >> BLOCKS) * (width >> BLOCKS)
