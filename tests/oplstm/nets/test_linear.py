"""The batched linear map against torch.nn.Linear, and its initialisation."""

import pytest
import torch
from torch import nn

from oplstm.nets.linear import init_linear, linear


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_torch_for_every_run_and_task(tasks, with_bias):
    x, weight, bias = randn(2, 3, 4, 5), randn(2, tasks, 6, 5, seed=1), randn(2, tasks, 6, seed=2)
    got = linear(x, weight, bias if with_bias else None)
    for run in range(2):
        for task in range(3):
            own = min(task, tasks - 1)
            wanted = nn.functional.linear(x[run, task], weight[run, own], bias[run, own] if with_bias else None)
            torch.testing.assert_close(got[run, task], wanted, rtol=1e-13, atol=1e-14)


@pytest.mark.slow
def test_derivatives_of_derivatives_where_each_task_has_its_own_weights():
    x, weight = randn(2, 3, 4, 5).requires_grad_(), randn(2, 3, 6, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(linear, (x, weight))
    assert torch.autograd.gradgradcheck(linear, (x, weight))


def test_what_is_found_of_weights_lies_as_they_do():
    """Or adding it up would be several times slower."""
    weights = [randn(2, 3, 6, 5, seed=1).requires_grad_(), randn(2, 3, 2, 6, seed=2).requires_grad_()]
    loss = linear(linear(randn(2, 3, 4, 5), weights[0]).sin(), weights[1]).square().sum()
    first = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in first), weights)
    assert all(each.is_contiguous() for each in (*first, *second))


def test_initial_weights_are_those_of_torch():
    weight, bias = init_linear(16, 200, torch.Generator().manual_seed(0))
    assert (weight.shape, bias.shape) == ((200, 16), (200,))
    theirs = nn.Linear(16, 200)
    for ours, torchs in ((weight, theirs.weight), (bias, theirs.bias)):
        assert 0.95 * 0.25 < ours.abs().max() <= 0.25  # 1 / sqrt(16)
        assert torchs.abs().max() <= 0.25
        assert ours.std().item() == pytest.approx(torchs.std().item(), rel=0.2)
