"""The networks of the baselines, for one task with ``torch.nn`` and its ``functional``: columns are examples."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Kind = Literal["nn.LSTM", "nn.LSTMCell", "loop"]
"""Which of PyTorch's LSTMs a baseline is made of; ``loop`` for those that have none."""
State = tuple[Tensor, Tensor]
Weights = Mapping[str, Tensor]
"""Of one run or of one task, by the names that ours have."""

MODULES = {"nn.LSTM": nn.LSTM, "nn.LSTMCell": nn.LSTMCell}
NAMES = {"w_x": "weight_ih", "w_h": "weight_hh", "b_x": "bias_ih", "b_h": "bias_hh"}


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """By the statistics of the batch at hand, ``(M, d)`` or ``(M, d, height, width)``."""
    return functional.batch_norm(x, None, None, scale, shift, training=True)


def features(backbone: str, weights: Weights, x: Tensor) -> Tensor:
    """Features ``(M, d)`` of inputs ``(M, *x)``: all of their numbers, or Conv-4's."""
    if backbone == "conv4":
        for block in (f"conv.{index}" for index in range(4)):
            x = functional.conv2d(x, weights[f"{block}.weight"], weights[f"{block}.bias"], padding=1)
            x = functional.relu(batch_norm(x, weights[f"{block}.scale"], weights[f"{block}.shift"]))
            x = functional.max_pool2d(x, 2)
    return x.flatten(1)


def network(weights: Weights, x: Tensor, *, layers: int, head: bool = True) -> Tensor:
    """The fully-connected ReLU network of ``layers`` layers, the last one linear where it is the ``head``."""
    for layer in (f"layer.{index}" for index in range(layers)):
        x = functional.linear(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"])
        if f"{layer}.scale" in weights:
            x = batch_norm(x, weights[f"{layer}.scale"], weights[f"{layer}.shift"])
        if not head or layer != f"layer.{layers - 1}":
            x = functional.relu(x)
    return x


class Stack(nn.Module):
    """Stacked LSTM cells that take one step on a batch of columns.

    Args:
        weights: Ours, of one run, whose gates come in another order.
        prefix: Of the cells' names among them.
        kind: ``nn.LSTMCell``, or ``nn.LSTM`` with sequences of length 1.
    """

    def __init__(self, weights: Weights, prefix: str, kind: Kind) -> None:
        super().__init__()
        self.single = kind == "nn.LSTMCell"
        inputs = [weight for name, weight in weights.items() if name.startswith(f"{prefix}.") and name.endswith("w_x")]
        self.cells = nn.ModuleList([MODULES[kind](w_x.shape[1], len(w_x) // 4).to(w_x) for w_x in inputs])
        for index, cell in enumerate(self.cells):
            for ours, theirs in NAMES.items():
                i, f, o, candidate = weights[f"{prefix}.{index}.{ours}"].detach().chunk(4)
                parameter = cell.get_parameter(theirs + ("" if self.single else "_l0"))
                with torch.no_grad():
                    parameter.copy_(torch.cat((i, f, candidate, o)))

    def forward(self, x: Tensor, states: list[State] | None) -> tuple[Tensor, list[State]]:
        """``x (n, d_in)`` and a state ``(n, d)`` a cell, or None, to the top's h and the states after."""
        after = []
        for index, cell in enumerate(self.cells):
            state = None if states is None else states[index]
            if self.single:
                state = cell(x, state)
            else:
                _, (h, c) = cell(x[None], state and (state[0][None], state[1][None]))
                state = h[0], c[0]
            x = state[0]
            after.append(state)
        return x, after
