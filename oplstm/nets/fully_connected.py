"""The fully-connected network (Section 5): linear layers, each hidden one with an optional batch norm and a ReLU."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from oplstm.nets.batch_norm import batch_norm
from oplstm.nets.linear import init_linear, linear
from oplstm.shape import Shape
from oplstm.tensors import Params

Activation = Literal["relu", "tanh"]
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


def init_fully_connected(
    widths: Sequence[int], generator: torch.Generator, *, norm: bool, head: bool = True
) -> dict[str, Tensor]:
    """Parameters ``layer.l.weight``, ``layer.l.bias`` and, of normalised layers, ``layer.l.scale``, ``layer.l.shift``.

    Args:
        widths: Inputs, hidden widths, outputs.
        generator: Of the random numbers.
        norm: Whether hidden layers have batch norm.
        head: Whether the last layer is the output, which is linear; otherwise it is one more hidden layer.
    """
    params = {}
    for layer, (d_in, d_out) in enumerate(itertools.pairwise(widths)):
        last = head and layer == len(widths) - 2
        weight, bias = init_linear(d_in, d_out, generator)
        params[f"layer.{layer}.weight"] = weight
        params[f"layer.{layer}.bias"] = bias if last else torch.zeros(bias.shape)
        if norm and not last:
            params[f"layer.{layer}.scale"] = torch.ones(d_out)
            params[f"layer.{layer}.shift"] = torch.zeros(d_out)
    return params


def fully_connected(
    params: Params,
    x: Annotated[Tensor, Shape("R B M d_in")],
    *,
    layers: int,
    head: bool = True,
    activation: Activation = "relu",
) -> Annotated[Tensor, Shape("R B M d_out")]:
    """The network's output.

    Args:
        params: Of a run, or of a task, then with an axis B after R; see ``init_fully_connected``.
        x: Inputs.
        layers: Number of linear layers.
        head: As it was initialised.
        activation: Of the hidden layers.
    """
    for layer in range(layers):
        weight, bias = _of_tasks(params[f"layer.{layer}.weight"], 2), _of_tasks(params[f"layer.{layer}.bias"], 1)
        x = linear(x, weight, bias)
        if f"layer.{layer}.scale" in params:
            x = batch_norm(x, params[f"layer.{layer}.scale"], params[f"layer.{layer}.shift"])
        if not (head and layer == layers - 1):
            x = ACTIVATIONS[activation](x)
    return x


def _of_tasks(param: Tensor, axes: int) -> Tensor:
    """``(R, ...)`` as ``(R, 1, ...)``; what is adapted to tasks has its B axis."""
    return param if param.ndim == axes + 2 else param.unsqueeze(1)
