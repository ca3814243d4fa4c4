"""Adam for a pack against torch.optim.Adam for each run."""

import pytest
import torch

from oplstm.training.update.adam import AdamMoments, adam_step

LR = [1e-3, 3e-2, 0.5]
R, P, STEPS = len(LR), 7, 50


def gradients():
    """Gradients of very different sizes, zeros among them."""
    g = torch.Generator().manual_seed(0)
    grads = torch.randn(STEPS, R, P, generator=g, dtype=torch.float64) * 10.0 ** torch.arange(-9, 5, 2).double()
    grads[:, :, 0] = 0
    grads[20:, :, 1] = 0
    return grads


def train(grads, alive=None):
    weights = torch.linspace(-1, 1, R * P, dtype=torch.float64).view(R, P)
    moments, history = AdamMoments.zeros(weights), []
    lr = torch.tensor(LR, dtype=torch.float64).unsqueeze(1)
    for step, grad in enumerate(grads):
        mask = torch.ones(R, 1, dtype=torch.bool) if alive is None else alive(step)
        steps = torch.full((R, 1), step + 1.0, dtype=torch.float64)
        adam_step(weights, grad.clone(), moments, lr=lr, steps=steps, alive=mask)
        history.append(weights.clone())
    return torch.stack(history)


def test_equals_torch_over_fifty_steps():
    grads = gradients()
    got = train(grads)
    for run, lr in enumerate(LR):
        weight = torch.linspace(-1, 1, R * P, dtype=torch.float64).view(R, P)[run].clone().requires_grad_()
        optimiser = torch.optim.Adam([weight], lr=lr)
        for step in range(STEPS):
            weight.grad = grads[step, run].clone()
            optimiser.step()
            torch.testing.assert_close(got[step, run], weight.detach(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1.0])
def test_a_dead_run_does_not_move_and_does_not_touch_the_others(value):
    grads = gradients()
    healthy = train(grads)
    grads[10:, 1] = value
    died = train(grads, lambda step: torch.tensor([[True], [step < 10], [True]]))
    assert (died[10:, 1] == died[9, 1]).all()
    assert torch.equal(died[:, [0, 2]], healthy[:, [0, 2]])
    assert torch.equal(died[:10], healthy[:10])


def test_the_step_happens_in_place_and_leaves_no_graph():
    weights = torch.ones(1, 2, requires_grad=True)
    same = weights.detach()
    moments = AdamMoments.zeros(same)
    lr, steps, alive = torch.tensor([[0.1]]), torch.tensor([[1.0]]), torch.tensor([[True]])
    adam_step(weights, torch.ones(1, 2), moments, lr=lr, steps=steps, alive=alive)
    assert same.tolist() == [[pytest.approx(0.9)] * 2]
    assert weights.grad_fn is None
    assert moments.first.abs().sum() > 0
