"""The fully-connected network against torch.nn.functional, one run and one task at a time."""

import pytest
import torch
from torch.nn import functional

from oplstm.nets.fully_connected import fully_connected, init_fully_connected

RUNS, TASKS, EXAMPLES, WIDTHS = 2, 3, 4, (3, 5, 4, 2)
LAYERS = len(WIDTHS) - 1


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_network(*, norm, head, adapted):
    """``adapted``: whether weights are of tasks, or only those of the ``last`` layer."""
    params = {}
    for seed, (name, tensor) in enumerate(
        init_fully_connected(WIDTHS, torch.Generator(), norm=norm, head=head).items()
    ):
        of_tasks = adapted == "tasks" or (adapted == "last" and name.startswith(f"layer.{LAYERS - 1}."))
        params[name] = randn(RUNS, *(TASKS,) * of_tasks, *tensor.shape, seed=seed).requires_grad_()
    return params


def loop(params, x, *, norm, head, activation):
    """Layer after layer of every run and task."""
    outputs = []
    for run, task in torch.cartesian_prod(torch.arange(RUNS), torch.arange(TASKS)):
        a = x[run, task]
        for layer in range(LAYERS):
            of = {}
            for name, axes in (("weight", 2), ("bias", 1), ("scale", 1), ("shift", 1)):
                if (param := params.get(f"layer.{layer}.{name}")) is not None:
                    of[name] = param[run, task] if param.ndim == axes + 2 else param[run]
            a = functional.linear(a, of["weight"], of["bias"])
            if head and layer == LAYERS - 1:
                assert "scale" not in of
                break
            if norm:
                a = functional.batch_norm(a, None, None, of["scale"], of["shift"], training=True)
            a = torch.tanh(a) if activation == "tanh" else functional.relu(a)
        outputs.append(a)
    return torch.stack(outputs).unflatten(0, (RUNS, TASKS))


def derivatives(out, tensors):
    first = torch.autograd.grad(out.tanh().square().sum(), tensors, create_graph=True)
    second = torch.autograd.grad(sum(grad.tanh().square().sum() for grad in first), tensors)
    return *first, *second


@pytest.mark.parametrize("adapted", ["runs", "last", "tasks"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("norm", [True, False], ids=["norm", "plain"])
@pytest.mark.parametrize("head", [True, False], ids=["head", "hidden"])
def test_equals_torch_for_every_run_and_task_with_both_derivatives(head, norm, activation, adapted):
    params, x = random_network(norm=norm, head=head, adapted=adapted), randn(RUNS, TASKS, EXAMPLES, WIDTHS[0], seed=9)
    got = fully_connected(params, x, layers=LAYERS, head=head, activation=activation)
    wanted = loop(params, x, norm=norm, head=head, activation=activation)
    torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)
    tensors = list(params.values())
    for ours, theirs in zip(derivatives(got, tensors), derivatives(wanted, tensors), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_initial_weights():
    """As torch.nn.Linear's, but for hidden biases, which are zero; batch norm starts as nothing."""
    params = init_fully_connected((16, 200, 9), torch.Generator().manual_seed(0), norm=True)
    assert 0.95 * 0.25 < params["layer.0.weight"].abs().max() <= 0.25
    assert not params["layer.0.bias"].any()
    assert 0 < params["layer.1.bias"].abs().max() <= 200**-0.5
    assert (params["layer.0.scale"] == 1).all()
    assert (params["layer.0.shift"] == 0).all()
    assert "layer.1.scale" not in params
    embedding = init_fully_connected((16, 200, 9), torch.Generator().manual_seed(0), norm=True, head=False)
    assert not embedding["layer.1.bias"].any()
    assert (embedding["layer.1.scale"] == 1).all()
