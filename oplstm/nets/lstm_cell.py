"""LSTM cells (Eqs. 1-6) as batched matrix products, features first.

Here a tensor is ``(R, d, B, M, n)``: R runs, d features, and one *column* for every example (M) and node (n) of every
task (B). Weights are shared over the columns of a run, so one product serves them all, and each gate is one
contiguous slab, which keeps the elementwise part fast at widths as small as the coordinate-wise LSTM's.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from oplstm.nets.linear import uniform

State = tuple[Tensor, Tensor]
"""The pair (h, c), each ``(R, d, B, M or 1, n)``; an axis of size 1 broadcasts over the columns."""

_aten = torch.ops.aten


class _GateArithmetic(torch.autograd.Function):
    """Eqs. 1-6 after the linear maps, with the derivative by hand: half the kernels of autograd's.

    First-order gradients only, which is all that the LSTM and OP-LSTM need.
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        d = c.shape[1]
        sigmoids = torch.sigmoid(gates[:, : 3 * d])
        candidate = torch.tanh(gates[:, 3 * d :])  # Eq. 4
        i, f, o = sigmoids[:, :d], sigmoids[:, d : 2 * d], sigmoids[:, 2 * d :]  # Eqs. 2, 1, 3
        c_next = torch.addcmul(i * candidate, f, c)  # Eq. 5
        tanh_c = torch.tanh(c_next)
        ctx.save_for_backward(sigmoids, candidate, c, tanh_c)
        return o * tanh_c, c_next  # Eq. 6

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor, Tensor | None]:
        sigmoids, candidate, c, tanh_c = ctx.saved_tensors
        d = c.shape[1]
        i, f, o = sigmoids[:, :d], sigmoids[:, d : 2 * d], sigmoids[:, 2 * d :]
        grad_c = grad_c + _aten.tanh_backward(grad_h * o, tanh_c)
        grad_gates = sigmoids.new_empty((sigmoids.shape[0], 4 * d, *sigmoids.shape[2:]))
        torch.mul(grad_c, candidate, out=grad_gates[:, :d])
        torch.mul(grad_c, c, out=grad_gates[:, d : 2 * d])
        torch.mul(grad_h, tanh_c, out=grad_gates[:, 2 * d : 3 * d])
        grad_sigmoids = grad_gates[:, : 3 * d]
        _aten.sigmoid_backward.grad_input(grad_sigmoids, sigmoids, grad_input=grad_sigmoids)
        _aten.tanh_backward.grad_input(grad_c * i, candidate, grad_input=grad_gates[:, 3 * d :])
        return grad_gates, (grad_c * f).sum_to_size(c.shape) if ctx.needs_input_grad[1] else None


def project(weight: Tensor, columns: Tensor) -> Tensor:
    """``weight (R, out, d)`` times ``columns (R, d, *rest)``, giving ``(R, out, *rest)``."""
    product: Tensor = torch.bmm(weight, columns.flatten(2)).unflatten(2, columns.shape[2:])
    return product


def lstm_cell(params: Mapping[str, Tensor], prefix: str, x: Tensor, state: State | None) -> State:
    """One LSTM step m_theta(x; h, c) (Eqs. 1-6 and 8).

    Args:
        params: Holds ``prefix.w_x (R, 4d, d_in)``, ``prefix.w_h (R, 4d, d)``, ``prefix.b_x`` and ``prefix.b_h
            (R, 4d)``, gates in the order input, forget, output, candidate.
        prefix: Name of the cell among the parameters.
        x: Input columns, ``(R, d_in, B, M, n)``.
        state: The state before, or None for h = c = 0.

    Returns:
        The state after, each part ``(R, d, B, M, n)``.
    """
    bias = params[f"{prefix}.b_x"] + params[f"{prefix}.b_h"]
    if state is None:
        gates = torch.baddbmm(bias.unsqueeze(-1), params[f"{prefix}.w_x"], x.flatten(2)).unflatten(2, x.shape[2:])
        c = x.new_zeros(x.shape[0], bias.shape[1] // 4, *(1 for _ in x.shape[2:]))
    else:
        h, c = state
        recurrent = torch.baddbmm(bias.unsqueeze(-1), params[f"{prefix}.w_h"], h.flatten(2)).unflatten(2, h.shape[2:])
        gates = project(params[f"{prefix}.w_x"], x) + recurrent
    h_next, c_next = _GateArithmetic.apply(gates, c)  # type: ignore[no-untyped-call]
    return h_next, c_next


def lstm_stack(
    params: Mapping[str, Tensor], prefix: str, depth: int, x: Tensor, states: Sequence[State | None]
) -> list[State]:
    """One step of ``depth`` stacked cells ``prefix.0 ...``; each cell's h is the next one's input.

    Returns:
        The states after, one a cell; the last one's h is the output of the stack.
    """
    after: list[State] = []
    for layer in range(depth):
        state = lstm_cell(params, f"{prefix}.{layer}", x, states[layer])
        x = state[0]
        after.append(state)
    return after


def pool_examples(states: Sequence[State]) -> list[State]:
    """Mean of h and c over the example axis M (Eqs. 10 and 17), kept as an axis of size 1."""
    return [(h.mean(3, keepdim=True), c.mean(3, keepdim=True)) for h, c in states]


def init_lstm_stack(prefix: str, d_in: int, widths: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters of stacked cells for one run (no R axis), initialised as ``torch.nn.LSTM``: U(-1/sqrt(d), 1/sqrt(d)).

    The bias b of Eqs. 1-4 is stored as the sum of two vectors, as ``torch.nn.LSTM`` and the authors have it: the
    published parameter counts include both, and Adam moves their sum twice as fast.
    """
    params = {}
    for layer, width in enumerate(widths):
        bound = 1 / math.sqrt(width)
        for name, shape in (("w_x", (d_in,)), ("w_h", (width,)), ("b_x", ()), ("b_h", ())):
            params[f"{prefix}.{layer}.{name}"] = uniform(4 * width, *shape, bound=bound, generator=generator)
        d_in = width
    return params
