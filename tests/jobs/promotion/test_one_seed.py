"""Sweeps of one seed each, against many drawn from known configurations."""

import math

import numpy as np
import pytest

from jobs.promotion.one_seed import LEAST, one_seed


def scores(true, sd, seeds, dice):
    """Of configurations with these true scores: that of the sweep's seed, which counts for nothing, and fresh ones."""
    fresh = np.array(true)[:, None] + sd * dice.standard_normal((len(true), seeds))
    return [[-9.0, *own] for own in fresh]


def simulated(true, sd, draws=200_000):
    """What picking by one seed comes to where everything is known: wins, loss, flattery."""
    true = np.array(true)
    seen = true[:, None] + sd * np.random.default_rng(5).standard_normal((len(true), draws))
    winner = seen.argmin(0)
    return (winner == true.argmin()).mean(), true[winner].mean() - true.min(), (true[winner] - seen.min(0)).mean()


@pytest.mark.parametrize("sd", [0.1, 1.0, 3.0])
def test_with_many_seeds_it_says_what_is_true(sd):
    true = [0.0, 0.5, 1.0, 1.5, 2.0]
    found = one_seed(scores(true, sd, 4000, np.random.default_rng(1)))
    wins, worse, flattered = simulated(true, sd)
    assert found.best_wins == pytest.approx(wins, abs=0.02)
    assert found.worse == pytest.approx(worse, abs=0.03)
    assert found.flattered == pytest.approx(flattered, abs=0.03 * max(sd, 1))
    assert found.between == pytest.approx(np.var(true, ddof=1), rel=0.1)
    assert found.within == pytest.approx(sd**2, rel=0.05)
    assert (found.configurations, found.seeds) == (5, 4000)


@pytest.mark.slow
def test_few_seeds_give_the_right_variances_on_average():
    dice, sd = np.random.default_rng(2), 1.0
    found = [one_seed(scores(dice.normal(0, 2, 30), sd, 3, dice)) for _ in range(200)]
    assert np.mean([one.within for one in found]) == pytest.approx(sd**2, rel=0.05)
    assert np.mean([one.between for one in found]) == pytest.approx(4, rel=0.06)


@pytest.mark.slow
def test_where_configurations_do_not_differ_all_is_luck():
    dice = np.random.default_rng(3)
    found = [one_seed(scores([0.0] * 10, 1.0, 6, dice)) for _ in range(60)]
    assert np.mean([one.worse for one in found]) < 0.2
    assert np.mean([one.flattered for one in found]) == pytest.approx(simulated([0.0] * 10, 1.0)[2], rel=0.05)


def test_it_says_the_same_twice_and_nothing_of_too_few():
    costs = scores([0.0, 1.0, 2.0], 1.0, LEAST, np.random.default_rng(4))
    assert one_seed(costs) == one_seed(costs)
    assert one_seed(costs[:2]) is None
    assert one_seed([own[:-1] for own in costs]) is None
    broken = [*costs, [0.0, None, math.nan, 1.0, 1.0]]
    assert one_seed(broken) == one_seed(costs), "a configuration of two seeds is left out"


def test_none_is_best_where_nothing_but_chance_sets_them_apart():
    """Whatever their order."""
    costs = [[0.0, 1.0, 2.0, 3.3], [0.0, 3.0, 1.0, 2.0], [0.0, 2.2, 3.0, 1.0]]
    for told in (one_seed(costs), one_seed(costs[::-1])):
        assert (told.between, told.best_wins, told.worse) == (0, None, 0)


def test_equal_seeds_leave_no_chance():
    found = one_seed([[0.0, own, own, own] for own in (1.0, 2.0, 3.0)])
    assert (found.within, found.best_wins, found.worse, found.flattered) == (0, 1, 0, 0)
