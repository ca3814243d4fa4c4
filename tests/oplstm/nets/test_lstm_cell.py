"""The LSTM cell (Eqs. 1-6) against torch.nn.LSTMCell, its hand-written derivative, stacks and pooling."""

import math

import pytest
import torch
from torch import nn

from oplstm.nets.lstm_cell import init_lstm_stack, lstm_cell, lstm_stack, pool_examples


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_cell(R, d_in, d, prefix="cell"):
    shapes = {"w_x": (4 * d, d_in), "w_h": (4 * d, d), "b_x": (4 * d,), "b_h": (4 * d,)}
    return {f"{prefix}.{name}": randn(R, *shape, seed=seed) for seed, (name, shape) in enumerate(shapes.items())}


def torch_cell(params, run, prefix="cell"):
    """One run's cell as nn.LSTMCell, whose gates are input, forget, candidate, output."""
    d = params[f"{prefix}.w_h"].shape[2]
    order = [*range(2 * d), *range(3 * d, 4 * d), *range(2 * d, 3 * d)]
    cell = nn.LSTMCell(params[f"{prefix}.w_x"].shape[2], d, dtype=torch.float64)
    names = {"w_x": "weight_ih", "w_h": "weight_hh", "b_x": "bias_ih", "b_h": "bias_hh"}
    cell.load_state_dict({theirs: params[f"{prefix}.{ours}"][run][order] for ours, theirs in names.items()})
    return cell


def rows(columns, run, count):
    """The columns ``(R, d, B, M, n)`` of one run as rows ``(B M n, d)``, after broadcasting to ``count``."""
    return columns[run].expand(-1, *count).flatten(1).T


SIZES = [(1, 1, 1, 1, 1, 1), (2, 3, 2, 2, 3, 1), (3, 2, 4, 1, 2, 3), (2, 1, 5, 3, 1, 2)]


@pytest.mark.parametrize(("R", "d_in", "d", "B", "M", "n"), SIZES)
@pytest.mark.parametrize("state", ["none", "own", "shared", "mixed"])
def test_equals_torch(R, d_in, d, B, M, n, state):
    params, x = random_cell(R, d_in, d), randn(R, d_in, B, M, n, seed=5)
    own, shared = (randn(R, d, B, M, n, seed=6), randn(R, d, B, M, n, seed=7)), (randn(R, d, B, 1, n, seed=8),) * 2
    before = {"none": None, "own": own, "shared": shared, "mixed": (shared[0], own[1])}[state]
    h, c = lstm_cell(params, "cell", x=x, state=before)
    assert h.shape == c.shape == (R, d, B, M, n)
    for run in range(R):
        known = before and tuple(rows(part, run, (B, M, n)) for part in before)
        wanted_h, wanted_c = torch_cell(params, run)(rows(x, run, (B, M, n)), known)
        torch.testing.assert_close(rows(h, run, (B, M, n)), wanted_h, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(rows(c, run, (B, M, n)), wanted_c, rtol=1e-13, atol=1e-14)


def test_works_without_a_node_axis():
    params, x = random_cell(2, 3, 2), randn(2, 3, 4, 5, seed=5)
    state = randn(2, 2, 4, 1, seed=6), randn(2, 2, 4, 5, seed=7)
    plain = lstm_cell(params, "cell", x=x, state=state)
    nodes = lstm_cell(params, "cell", x=x.unsqueeze(-1), state=tuple(part.unsqueeze(-1) for part in state))
    for without, with_ in zip(plain, nodes, strict=True):
        assert torch.equal(without, with_.squeeze(-1))


def test_no_state_is_the_zero_state():
    params, x = random_cell(2, 3, 2), randn(2, 3, 2, 2, 1, seed=5)
    zero = torch.zeros(2, 2, 2, 2, 1).double()
    for none, zeros in zip(
        lstm_cell(params, "cell", x=x, state=None), lstm_cell(params, "cell", x=x, state=(zero, zero)), strict=True
    ):
        torch.testing.assert_close(none, zeros, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("shape_h", [(2, 2, 2, 3, 1), (2, 2, 2, 1, 1), (2, 2, 1, 1, 1)])
@pytest.mark.parametrize("shape_c", [(2, 2, 2, 3, 1), (2, 2, 2, 1, 1), (2, 2, 1, 1, 1)])
def test_derivative_is_that_of_finite_differences(shape_h, shape_c):
    params = random_cell(2, 1, 2)
    inputs = [*params.values(), randn(2, 1, 2, 3, 1, seed=5), randn(*shape_h, seed=6), randn(*shape_c, seed=7)]

    def step(*tensors):
        *weights, x, h, c = tensors
        return lstm_cell(dict(zip(params, weights, strict=True)), "cell", x=x, state=(h, c))

    assert torch.autograd.gradcheck(step, [tensor.requires_grad_() for tensor in inputs], fast_mode=True)


def test_derivative_without_a_state():
    params = random_cell(2, 2, 2)
    inputs = [params["cell.w_x"], params["cell.b_h"], randn(2, 2, 1, 2, 2, seed=5)]

    def step(w_x, b_h, x):
        return lstm_cell(params | {"cell.w_x": w_x, "cell.b_h": b_h}, "cell", x=x, state=None)

    assert torch.autograd.gradcheck(step, [tensor.requires_grad_() for tensor in inputs])


def test_derivative_through_h_alone_and_c_alone():
    for wanted in (0, 1):
        params, x = random_cell(1, 2, 3), randn(1, 2, 1, 2, 1, seed=5)
        leaf = params["cell.w_x"].requires_grad_()
        (got,) = torch.autograd.grad(lstm_cell(params, "cell", x=x, state=None)[wanted].sum(), leaf)
        cell = torch_cell({name: tensor.detach() for name, tensor in params.items()}, 0)
        cell(rows(x, 0, (1, 2, 1)))[wanted].sum().backward()
        i, f, g, o = cell.weight_ih.grad.chunk(4)
        torch.testing.assert_close(got[0], torch.cat((i, f, o, g)), rtol=1e-12, atol=1e-14)


def test_a_second_derivative_is_refused_not_wrong():
    params, x = random_cell(1, 1, 1), randn(1, 1, 1, 1, 1).requires_grad_()
    (first,) = torch.autograd.grad(lstm_cell(params, "cell", x=x, state=None)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), x)


def test_saturated_gates_stay_finite():
    params = {name: 1e4 * tensor for name, tensor in random_cell(1, 2, 2).items()}
    x = randn(1, 2, 1, 3, 1, seed=5).requires_grad_()
    h, c = lstm_cell(params, "cell", x=x, state=None)
    (grad,) = torch.autograd.grad((h + c).sum(), x)
    assert all(part.isfinite().all() for part in (h, c, grad))


def test_stack_feeds_each_cell_with_the_h_of_the_one_before():
    params = random_cell(2, 3, 2, "s.0") | random_cell(2, 2, 4, "s.1")
    x, states = randn(2, 3, 2, 2, 1, seed=5), [None, (randn(2, 4, 2, 2, 1, seed=6), randn(2, 4, 2, 2, 1, seed=7))]
    first, second = lstm_stack(params, "s", depth=2, x=x, states=states)
    assert all(torch.equal(*pair) for pair in zip(first, lstm_cell(params, "s.0", x=x, state=None), strict=True))
    assert all(
        torch.equal(*pair) for pair in zip(second, lstm_cell(params, "s.1", x=first[0], state=states[1]), strict=True)
    )


def test_pooling_is_the_mean_over_examples():
    h, c = randn(2, 3, 2, 4, 5), randn(2, 3, 2, 4, 5, seed=1)
    ((h_mean, c_mean),) = pool_examples([(h, c)])
    assert h_mean.shape == c_mean.shape == (2, 3, 2, 1, 5)
    torch.testing.assert_close(h_mean[:, :, :, 0], sum(h[:, :, :, m] for m in range(4)) / 4)
    torch.testing.assert_close(c_mean[:, :, :, 0], sum(c[:, :, :, m] for m in range(4)) / 4)


def test_initial_weights_are_those_of_torch():
    params = init_lstm_stack("s", 7, widths=(50, 30), generator=torch.Generator().manual_seed(0))
    shapes = {name: tuple(tensor.shape) for name, tensor in params.items()}
    assert shapes == {
        **{"s.0.w_x": (200, 7), "s.0.w_h": (200, 50), "s.0.b_x": (200,), "s.0.b_h": (200,)},
        **{"s.1.w_x": (120, 50), "s.1.w_h": (120, 30), "s.1.b_x": (120,), "s.1.b_h": (120,)},
    }
    for name, tensor in params.items():
        bound = 1 / math.sqrt(50 if name.startswith("s.0") else 30)
        assert 0.95 * bound < tensor.abs().max() <= bound
        assert abs(tensor.mean()) < 4 * bound / math.sqrt(3 * tensor.numel())
    assert not torch.equal(params["s.0.b_x"], params["s.0.b_h"])
