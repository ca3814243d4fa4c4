"""Batch norm and its derivatives against torch.nn.functional, one run and one task at a time."""

import pytest
import torch
from torch.nn import functional

from oplstm.nets.batch_norm import batch_norm

RUNS, TASKS, EXAMPLES, D = 2, 3, 4, 5


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def arguments(space, adapted):
    x = 3 + 2 * randn(RUNS, TASKS, EXAMPLES, D, *space)
    parts = [randn(RUNS, *(TASKS,) * adapted, D, seed=seed) for seed in (1, 2)]
    return [tensor.requires_grad_() for tensor in (x, *parts)]


def loop(x, weight, bias, adapted):
    tasks = [
        functional.batch_norm(x[run, task], None, None, *(p[run, task] if adapted else p[run] for p in (weight, bias)),
                              training=True)
        for run in range(RUNS)
        for task in range(TASKS)
    ]  # fmt: skip
    return torch.stack(tasks).unflatten(0, (RUNS, TASKS))


def derivatives(out, tensors):
    first = torch.autograd.grad(out.tanh().square().sum(), tensors, create_graph=True)
    second = torch.autograd.grad(sum(grad.tanh().square().sum() for grad in first), tensors)
    return *first, *second


@pytest.mark.parametrize("space", [(), (2, 3)], ids=["features", "maps"])
@pytest.mark.parametrize("adapted", [False, True], ids=["of runs", "of tasks"])
def test_equals_torch_for_every_run_and_task_with_both_derivatives(space, adapted):
    tensors = arguments(space, adapted)
    got, wanted = batch_norm(*tensors), loop(*tensors, adapted)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(derivatives(got, tensors), derivatives(wanted, tensors), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("space", [(), (2, 1)], ids=["features", "maps"])
def test_second_derivatives_are_those_of_finite_differences(space):
    torch.autograd.gradgradcheck(batch_norm, arguments(space, adapted=True), fast_mode=True)


def test_a_feature_that_never_changes_is_its_shift_with_finite_derivatives():
    x, weight, bias = arguments((), adapted=False)
    x = x.detach().clone()
    x[..., 0] = 7.0
    x.requires_grad_()
    out = batch_norm(x, weight, bias)
    assert torch.equal(out[..., 0], bias[:, None, None, 0].expand(RUNS, TASKS, EXAMPLES))
    assert all(part.isfinite().all() for part in derivatives(out, [x, weight, bias]))
