"""Named tensors and the matrix of a pack's parameters."""

import torch

from oplstm.training.parameters import Layout

RUNS = [
    {"w": torch.arange(6.0).view(2, 3) + 10 * run, "gamma": torch.tensor(100.0 + run), "b": torch.arange(2.0) - run}
    for run in range(3)
]


def test_a_row_holds_one_run_and_comes_back_by_name():
    layout = Layout(RUNS[0])
    flat = layout.flatten(RUNS)
    assert layout.size == 9
    assert flat[1].tolist() == [10, 11, 12, 13, 14, 15, 101, -1, 0]
    views = layout.views(flat)
    assert {name: tuple(view.shape) for name, view in views.items()} == {"w": (3, 2, 3), "gamma": (3,), "b": (3, 2)}
    for run, params in enumerate(RUNS):
        assert all(torch.equal(views[name][run], tensor) for name, tensor in params.items())


def test_the_order_of_names_in_a_run_does_not_matter():
    layout = Layout(RUNS[0])
    assert torch.equal(layout.flatten([dict(reversed(run.items())) for run in RUNS]), layout.flatten(RUNS))


def test_gradients_flow_back_to_the_matrix():
    layout = Layout(RUNS[0])
    flat = layout.flatten(RUNS).requires_grad_()
    views = layout.views(flat)
    (grad,) = torch.autograd.grad(2 * views["gamma"][1] + views["b"][2].sum(), flat)
    assert grad.tolist() == [[0] * 9, [0] * 6 + [2, 0, 0], [0] * 7 + [1, 1]]
