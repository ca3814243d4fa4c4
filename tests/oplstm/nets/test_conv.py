"""The convolution, its derivatives and Conv-4 against torch.nn.functional, one run and one task at a time."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from oplstm.nets.conv import conv2d, conv4, conv4_features, init_conv4

RUNS, TASKS, IMAGES, C_IN, C_OUT = 2, 3, 2, 2, 4
WEIGHTS = {  # whether the weight and the bias are adapted to tasks
    "of runs": (False, False),
    "of tasks": (True, True),
    "of tasks, bias of runs": (True, False),
}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own(tensor, adapted, run, task):
    return tensor[run, task] if adapted else tensor[run]


def loop(x, weight, bias, adapted, padding):
    """A plain convolution for every run and task."""
    tasks = [
        functional.conv2d(
            x[run, task], own(weight, adapted[0], run, task), own(bias, adapted[1], run, task), padding=padding
        )
        for run in range(RUNS)
        for task in range(TASKS)
    ]
    return torch.stack(tasks).unflatten(0, (RUNS, TASKS))


def arguments(adapted, height=5, width=4):
    weight = randn(RUNS, *(TASKS,) * adapted[0], C_OUT, C_IN, 3, 3, seed=1)
    bias = randn(RUNS, *(TASKS,) * adapted[1], C_OUT, seed=2)
    tensors = randn(RUNS, TASKS, IMAGES, C_IN, height, width), weight, bias
    return [tensor.requires_grad_() for tensor in tensors]


def derivatives(out, tensors):
    """Of a nonlinear function of ``out``: the first ones, and those of a function of these."""
    first = torch.autograd.grad(out.tanh().square().sum(), tensors, create_graph=True)
    second = torch.autograd.grad(sum(grad.tanh().square().sum() for grad in first), tensors)
    return *first, *second


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_equals_torch_for_every_run_and_task_with_both_derivatives(weights, padding):
    tensors = arguments(WEIGHTS[weights])
    got, wanted = conv2d(*tensors, padding=padding), loop(*tensors, WEIGHTS[weights], padding)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(derivatives(got, tensors), derivatives(wanted, tensors), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_second_derivatives_are_those_of_finite_differences(weights):
    tensors = arguments(WEIGHTS[weights], 2, 2)
    torch.autograd.gradgradcheck(lambda *t: conv2d(*t).tanh(), tensors, fast_mode=True)


@pytest.mark.parametrize("adapted", [False, True], ids=["of runs", "of tasks"])
def test_conv4_equals_torchs_layers_for_every_run_and_task(adapted):
    images = randn(RUNS, TASKS, IMAGES, C_IN, 35, 18)
    shapes = {name: tensor.shape for name, tensor in init_conv4(C_IN, C_OUT, torch.Generator()).items()}
    leading = (RUNS, TASKS) if adapted else (RUNS,)
    params = {name: randn(*leading, *shape, seed=seed) for seed, (name, shape) in enumerate(shapes.items())}
    got = conv4(params, images)
    assert got.shape == (RUNS, TASKS, IMAGES, conv4_features(C_OUT, 35, 18))
    for run in range(RUNS):
        for task in range(TASKS):
            blocks = []
            for block, c_in in enumerate([C_IN, C_OUT, C_OUT, C_OUT]):
                conv, norm = nn.Conv2d(c_in, C_OUT, 3, padding=1).double(), nn.BatchNorm2d(C_OUT).double()
                for layer, (weight, bias) in ((conv, ("weight", "bias")), (norm, ("scale", "shift"))):
                    layer.weight.data = own(params[f"conv.{block}.{weight}"], adapted, run, task)
                    layer.bias.data = own(params[f"conv.{block}.{bias}"], adapted, run, task)
                blocks += [conv, norm, nn.ReLU(), nn.MaxPool2d(2)]
            wanted = nn.Sequential(*blocks, nn.Flatten())(images[run, task])
            torch.testing.assert_close(got[run, task], wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("height", "features"), [(84, 1600), (28, 64)])
def test_features_of_the_papers_images(height, features):
    assert conv4_features(64, height, height) == features


def test_initial_weights_are_those_of_torch():
    params = init_conv4(3, 64, torch.Generator().manual_seed(0))
    for block, c_in in enumerate([3, 64, 64, 64]):
        theirs = nn.Conv2d(c_in, 64, 3)
        for name, torchs in (("weight", theirs.weight), ("bias", theirs.bias)):
            ours = params[f"conv.{block}.{name}"]
            assert ours.shape == torchs.shape
            bound = (9 * c_in) ** -0.5
            assert 0.9 * bound < ours.abs().max() <= bound
            assert torchs.abs().max() <= bound
        assert (params[f"conv.{block}.scale"] == 1).all()
        assert (params[f"conv.{block}.shift"] == 0).all()
