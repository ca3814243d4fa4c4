"""LSTM cells (Eqs. 1-6) as batched matrix products, features first.

Here a tensor is ``(R, d, B, M, n)``: R runs, d features, and one *column* for every example (M) and node (n) of every
task (B). Weights are shared over the columns of a run, so one product serves them all, and each gate is one
contiguous slab, which keeps the elementwise part fast at widths as small as the coordinate-wise LSTM's.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from oplstm.nets.linear import uniform
from oplstm.shape import Shape
from oplstm.tensors import Params

State = tuple[Annotated[Tensor, Shape("R _ B ...")], Annotated[Tensor, Shape("R _ B ...")]]
"""The pair (h, c) of a layer; after R and d come its columns, where an axis of size 1 broadcasts."""

_aten = torch.ops.aten


def gated(
    gates: Annotated[Tensor, Shape("...")], c: Annotated[Tensor, Shape("...")] | None, axis: int
) -> tuple[Annotated[Tensor, Shape("...")], Annotated[Tensor, Shape("...")], Annotated[Tensor, Shape("...")]]:
    """Eqs. 1-6 after the products, elementwise.

    Args:
        gates: Before their activations, which they become in place; the four lie along an axis.
        c: Cell states before the step, which may broadcast; None for zeros.
        axis: Of the gates.

    Returns:
        h, c and tanh(c) after the step.
    """
    gates.narrow(axis, 0, 3).sigmoid_()
    i, f, o, candidate = gates.unbind(axis)  # Eqs. 2, 1, 3
    candidate.tanh_()  # Eq. 4
    c_next = i * candidate
    if c is not None:
        c_next.addcmul_(f, c)  # Eq. 5
    tanh_c = torch.tanh(c_next)
    return o * tanh_c, c_next, tanh_c  # Eq. 6


def gated_backward(
    grad_h: Annotated[Tensor, Shape("*rest")],
    grad_c: Annotated[Tensor, Shape("*rest")],
    *,
    gates: Annotated[Tensor, Shape("...")],
    c: Annotated[Tensor, Shape("...")] | None,
    tanh_c: Annotated[Tensor, Shape("*rest")],
    axis: int,
) -> tuple[Annotated[Tensor, Shape("...")], Annotated[Tensor, Shape("...")] | None]:
    """The derivative of ``gated``: by the gates before their activations, and by c before the step, if any."""
    i, f, o, candidate = gates.unbind(axis)
    grad_gates = torch.empty_like(gates)
    grad_i, grad_f, grad_o, grad_candidate = grad_gates.unbind(axis)
    grad_c = _aten.tanh_backward(grad_h * o, tanh_c).add_(grad_c)
    torch.mul(grad_c, candidate, out=grad_i)
    if c is None:
        grad_f.zero_()
    else:
        torch.mul(grad_c, c, out=grad_f)
    torch.mul(grad_h, tanh_c, out=grad_o)
    grad_sigmoids = grad_gates.narrow(axis, 0, 3)
    _aten.sigmoid_backward.grad_input(grad_sigmoids, gates.narrow(axis, 0, 3), grad_input=grad_sigmoids)
    _aten.tanh_backward.grad_input(grad_c * i, candidate, grad_input=grad_candidate)
    return grad_gates, None if c is None else (grad_c * f).sum_to_size(c.shape)


class _Step(torch.autograd.Function):
    """Eqs. 1-6 with the derivative by hand: a fraction of the kernels that autograd would launch.

    First-order gradients only, which is all that the LSTM and OP-LSTM need.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor | None, c: Tensor | None, w_x: Tensor, w_h: Tensor, b: Tensor) -> State:
        columns, d = x.shape[2:], w_h.shape[2]
        bias = b.unsqueeze(-1)
        if h is None:
            gates = torch.baddbmm(bias, w_x, x.flatten(2)).unflatten(2, columns)
        else:
            recurrent = torch.baddbmm(bias, w_h, h.flatten(2))
            if h.shape[2:] == columns:
                gates = recurrent.baddbmm_(w_x, x.flatten(2)).unflatten(2, columns)
            else:  # a state that columns share is multiplied once
                gates = torch.bmm(w_x, x.flatten(2)).unflatten(2, columns).add_(recurrent.unflatten(2, h.shape[2:]))
        h_next, c_next, tanh_c = gated(gates.unflatten(1, (4, d)), c, axis=1)
        ctx.save_for_backward(x, h, c, w_x, w_h, gates, tanh_c)
        return h_next, c_next

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_h: Tensor, grad_c: Tensor) -> tuple[Tensor | None, ...]:
        x, h, c, w_x, w_h, gates, tanh_c = ctx.saved_tensors
        columns, d = x.shape[2:], w_h.shape[2]
        grad_gates, own_c = gated_backward(grad_h, grad_c, gates=gates.unflatten(1, (4, d)), c=c, tanh_c=tanh_c, axis=1)
        grad_gates = grad_gates.flatten(1, 2)
        flat = grad_gates.flatten(2)
        needs_x, needs_h, needs_c, needs_w_x, needs_w_h, _ = ctx.needs_input_grad
        grad_x = torch.bmm(w_x.mT, flat).unflatten(2, columns) if needs_x else None
        grad_w_x = torch.bmm(flat, x.flatten(2).mT) if needs_w_x else None
        before, grad_w_h = None, None
        if h is not None:
            shared = flat
            if h.shape[2:] != columns:
                shared = grad_gates.sum_to_size(*gates.shape[:2], *h.shape[2:]).flatten(2)
            before = torch.bmm(w_h.mT, shared).unflatten(2, h.shape[2:]) if needs_h else None
            grad_w_h = torch.bmm(shared, h.flatten(2).mT) if needs_w_h else None
            flat = shared
        return grad_x, before, own_c if needs_c else None, grad_w_x, grad_w_h, flat.sum(2)


def lstm_cell(
    params: Params,
    prefix: str,
    *,
    x: Annotated[Tensor, Shape("R d_in *columns")],
    state: tuple[Annotated[Tensor, Shape("R d #*columns")], Annotated[Tensor, Shape("R d #*columns")]] | None,
) -> tuple[Annotated[Tensor, Shape("R d *columns")], Annotated[Tensor, Shape("R d *columns")]]:
    """One LSTM step m_theta(x; h, c) (Eqs. 1-6 and 8).

    Args:
        params: Holds ``prefix.w_x (R, 4d, d_in)``, ``prefix.w_h (R, 4d, d)``, ``prefix.b_x`` and ``prefix.b_h
            (R, 4d)``, gates in the order input, forget, output, candidate.
        prefix: Name of the cell among the parameters.
        x: Input columns.
        state: h and c before, or None for h = c = 0.

    Returns:
        h and c after.
    """
    h, c = (None, None) if state is None else state
    bias = params[f"{prefix}.b_x"] + params[f"{prefix}.b_h"]
    after: State = _Step.apply(x, h, c, params[f"{prefix}.w_x"], params[f"{prefix}.w_h"], bias)  # type: ignore[no-untyped-call]
    return after


def lstm_stack(
    params: Params,
    prefix: str,
    *,
    depth: int,
    x: Annotated[Tensor, Shape("R d_in B ...")],
    states: Sequence[State | None],
) -> list[State]:
    """One step of ``depth`` stacked cells ``prefix.0 ...``; each cell's h is the next one's input.

    Returns:
        The states after, one a cell; the last one's h is the output of the stack.
    """
    after: list[State] = []
    for layer in range(depth):
        state = lstm_cell(params, f"{prefix}.{layer}", x=x, state=states[layer])
        x = state[0]
        after.append(state)
    return after


def pool_examples(states: Sequence[State]) -> list[State]:
    """Mean of h and c over the example axis M (Eqs. 10 and 17), kept as an axis of size 1."""
    return [(h.mean(3, keepdim=True), c.mean(3, keepdim=True)) for h, c in states]


def init_lstm_stack(prefix: str, d_in: int, *, widths: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
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
