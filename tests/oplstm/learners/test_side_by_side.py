"""LSTMs of different shapes side by side: the losses and gradients that each has alone."""

import random

import pytest
import torch
from torch.nn.functional import one_hot

from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm import LSTM
from oplstm.learners.lstm_config import LSTMConfig
from oplstm.learners.signature import signature
from oplstm.training.evaluation import training_losses
from oplstm.training.parameters import Layout

VALUES = TaskShape(x=(1,), d_y=1, loss="mse")
CLASSES = TaskShape(x=(2, 3), d_y=3, loss="cross_entropy")
EARLIER = [f"previous_target{rest}" for rest in ("", "_prediction", "_error", "_prediction_error")]


def drawn(choice: random.Random, support: str, *, closes: bool) -> LSTMConfig:
    """Any configuration of a family."""
    encodings = EARLIER if closes else ["current_target", *EARLIER]
    losses = ["last", "every", *(["last_and_support"] if support == "batched" else [])]
    return LSTMConfig(
        support=support,
        widths=tuple(choice.choice([1, 3, 8]) for _ in range(choice.randint(1, 4))),
        passes=choice.randint(2, 5),
        encoding=choice.choice(encodings),
        chain="closed" if closes else "continued",
        error=choice.choice(["difference", "squared"]),
        loss_on=choice.choice(losses),
        pool_cell=choice.random() < 0.5,
        query_cell=choice.choice(["carried", "zero"]),
        first_pass_labels=choice.random() < 0.5,
    )


def tasks_of(shape: TaskShape, count: int, *, shots: int = 5, queries: int = 4) -> Episode:
    """Random tasks on one axis, in float64."""

    def targets(examples):
        if shape.loss == "mse":
            return torch.randn(count, examples, 1, dtype=torch.float64)
        return one_hot(torch.randint(0, shape.d_y, (count, examples)), shape.d_y).double()

    x, query = (torch.randn(count, examples, *shape.x, dtype=torch.float64) for examples in (shots, queries))
    return Episode(x, targets(shots), query, targets(queries))


def side_by_side(configs, sizes, shape, batch):
    """Losses by the program, gradients by run, and the flat parameters of each run."""
    initial = [LSTM(config, shape).init(config, torch.Generator().manual_seed(i)) for i, config in enumerate(configs)]
    layouts = [Layout(params) for params in initial]
    flats = [layout.flatten([params]).double() for layout, params in zip(layouts, initial, strict=True)]
    own = [layout.of_row(flat[0]) for layout, flat in zip(layouts, flats, strict=True)]
    grads = [torch.zeros_like(flat) for flat in flats]
    own_grads = [layout.of_row(grad[0]) for layout, grad in zip(layouts, grads, strict=True)]
    program = LSTM.side_by_side(configs, sizes, shape=shape, params=own, grads=own_grads)
    return program.losses(batch), grads, list(zip(layouts, flats, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [VALUES, CLASSES], ids=["values", "classes"])
@pytest.mark.parametrize(
    ("support", "closes"), [("batched", False), ("sequential", False), ("sequential", True)], ids=lambda it: str(it)
)
@pytest.mark.parametrize("seed", range(6))
def test_any_mix_has_the_losses_and_gradients_of_its_runs_alone(seed, support, closes, shape):
    choice = random.Random(seed)
    torch.manual_seed(seed)
    configs = [drawn(choice, support, closes=closes) for _ in range(choice.randint(2, 6))]
    configs.sort(key=lambda config: -config.passes)
    assert len({LSTM.family(config) for config in configs}) == 1
    sizes = [choice.randint(1, 4) for _ in configs]
    batch = tasks_of(shape, sum(sizes))
    losses, grads, own = side_by_side(configs, sizes, shape, batch)
    first = 0
    for config, size, loss, grad, (layout, flat) in zip(configs, sizes, losses, grads, own, strict=True):
        weights = flat.clone().requires_grad_()
        some = batch.mapped(lambda part, first=first, size=size: part[None, first : first + size])
        expected = training_losses(LSTM(config, shape), layout.views(weights), batch=some).mean(1)
        (expected_grad,) = torch.autograd.grad(expected.sum(), weights)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        assert (grad - expected_grad).norm() / expected_grad.norm() <= 1e-12, config
        first += size


def test_numbers_that_are_none_stay_with_their_run():
    configs = [LSTMConfig(widths=(8, 3)), LSTMConfig(widths=(3,))]
    batch = tasks_of(VALUES, 3)
    _, expected, _ = side_by_side(configs, [2, 1], VALUES, batch)
    batch.query_y[:2] = torch.nan
    losses, grads, _ = side_by_side(configs, [2, 1], VALUES, batch)
    assert losses.isnan().tolist() == [True, False]
    assert grads[0].isnan().any() and torch.equal(grads[1], expected[1])


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"widths": (3,), "passes": 9, "loss_on": "every", "pool_cell": False, "query_cell": "zero"}, True),
        ({"encoding": "previous_target", "first_pass_labels": False, "error": "squared"}, True),
        ({"support": "sequential"}, False),
        ({"support": "sequential", "encoding": "previous_target", "chain": "closed"}, False),
        ({"backbone": "conv4"}, False),
    ],
)
def test_a_family_is_what_is_fed_alike(changes, shared):
    assert (LSTM.family(LSTMConfig(**changes)) == LSTM.family(LSTMConfig())) == shared
    assert signature(LSTMConfig(**changes)) != signature(LSTMConfig())
