"""Permutation variance: Eq. 9 as a number."""

from itertools import permutations

import pytest
import torch

from oplstm.analysis.permutation import permutation_variance
from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm import LSTM
from oplstm.learners.lstm_config import LSTMConfig
from oplstm.learners.op_lstm import OPLSTM, OPLSTMConfig
from tests.oplstm.learners.comparison import Sizes, random_episode, random_params

SIZES = Sizes(R=2, B=3, k=4, Q=2, d_x=2, d_y=2)
SHAPE = TaskShape((2,), 2)


def lstm(support: str) -> LSTM:
    return LSTM(LSTMConfig(support=support, widths=(4,), passes=2), SHAPE)


def variance(learner, episode=None, orders=8, seed=0):
    episode = episode or random_episode(SIZES)
    generator = torch.Generator().manual_seed(seed)
    return permutation_variance(learner, random_params(learner, SIZES.R), episode, orders=orders, generator=generator)


@pytest.mark.parametrize(
    "learner",
    [
        lstm("batched"),
        OPLSTM(OPLSTMConfig(base_widths=(3,), cells=(2, 1), passes=3), SHAPE),
        OPLSTM(OPLSTMConfig(base_widths=(3,), cells=(2, 1), passes=3, batch_norm=True), SHAPE),
        OPLSTM(OPLSTMConfig(base_widths=(3,), cells=(2, 1), passes=3, pool_states=False, normalisation="all"), SHAPE),
    ],
    ids=["batched LSTM", "OP-LSTM", "OP-LSTM, batch norm", "OP-LSTM, authors' states"],
)
def test_whoever_pools_does_not_see_the_order(learner):
    found = variance(learner)
    assert found.shape == (2, 3)
    assert found.max() < 1e-24


def test_a_sequential_lstm_sees_the_order():
    found = variance(lstm("sequential"))
    assert found.shape == (2, 3)
    assert found.min() > 1e-8


def test_one_example_has_one_order():
    assert not variance(lstm("sequential"), random_episode(SIZES._replace(k=1))).any()


class Remembers:
    """Predicts a weighted sum of the support targets, the weights set by their places."""

    def adapt(self, params, support):
        places = torch.arange(1.0, 4.0, dtype=torch.float64)
        return (support.support_y * params["scale"].view(-1, 1, 1, 1) * places[:, None]).sum(2, keepdim=True)

    def predict(self, params, fast, query_x):
        return fast.expand(-1, -1, query_x.shape[2], -1)


@pytest.mark.slow
def test_many_orders_approach_the_variance_over_all_orders():
    """Of 3 examples: 6 orders, by hand; a run of twice the scale has four times the variance."""
    y = torch.tensor([[1.0, 2.0, 4.0], [0.0, 5.0, -1.0]], dtype=torch.float64).view(1, 2, 3, 1).expand(2, -1, -1, -1)
    x = torch.zeros(2, 2, 3, 1)
    episode = Episode(x, y, x, y)
    params = {"scale": torch.tensor([1.0, 2.0], dtype=torch.float64)}
    generator = torch.Generator().manual_seed(0)
    found = permutation_variance(Remembers(), params, episode, orders=2000, generator=generator)
    for task, targets in enumerate(y[0, :, :, 0].tolist()):
        sums = [a + 2 * b + 3 * c for a, b, c in permutations(targets)]
        mean = sum(sums) / 6
        exact = sum((number - mean) ** 2 for number in sums) / 6
        assert float(found[0, task]) == pytest.approx(exact, rel=0.1)
    torch.testing.assert_close(found[1], 4 * found[0])


def test_x_and_y_of_an_example_stay_together():
    """A learner that sums the pairs x y sees no order; were only one of the two moved, it would."""

    class Pairs(Remembers):
        def adapt(self, params, support):
            return (support.support_x * support.support_y).sum(2, keepdim=True)

    episode = random_episode(SIZES._replace(d_x=1, d_y=1, k=5))
    found = permutation_variance(Pairs(), {}, episode, generator=torch.Generator().manual_seed(0))
    assert found.max() < 1e-24


def test_the_same_generator_gives_the_same_orders():
    learner = lstm("sequential")
    assert torch.equal(variance(learner), variance(learner))
    assert not torch.equal(variance(learner), variance(learner, seed=1))


def test_tasks_have_orders_of_their_own():
    episode = random_episode(SIZES)
    for part in (episode.support_x, episode.support_y, episode.query_x):
        part[:, 1] = part[:, 0]
    found = variance(lstm("sequential"), episode, orders=3)
    assert not torch.isclose(found[:, 0], found[:, 1]).all()


def test_one_order_is_refused():
    with pytest.raises(ValueError, match="orders must be >= 2, got 1"):
        variance(lstm("batched"), orders=1)
