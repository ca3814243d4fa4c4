"""A whole decision: what is picked, what is said of it, and what nothing is said of."""

import math

import numpy as np
import pytest

from jobs.promotion.decision import decide
from jobs.promotion.seeds import Block, SeedVariance, seed_variance
from jobs.promotion.standing import Configuration, costs_of
from oplstm.episodes.measure import ACCURACY, LOSS

EARLIER = SeedVariance(np.asarray(0.04), np.asarray(8.0), "earlier sweeps")
FINAL = {"final_seeds": 3, "final_tasks": 600}


def configurations(measure, *costs, tasks=300, noise=0.1):
    """Each with seeds of these true costs."""
    rng, sign = np.random.default_rng(0), measure.cost(1.0)
    hard = rng.standard_normal(tasks)

    def values(own):
        return sign * (hard + np.array(own)[:, None] + noise * rng.standard_normal((len(own), tasks)))

    return [Configuration((f"trial-{number:04d}",), values(own)) for number, own in enumerate(costs)]


@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_the_mean_over_seeds_picks_and_the_forecast_is_no_lucky_seed_s(measure):
    sign = measure.cost(1.0)
    costs = ([0.0, 0.5, 0.6], [0.1, 0.2, 0.2], [0.15, 0.4, 0.3], [0.2, 0.3, 0.5])
    found = configurations(measure, *costs, [0.3], [2.0])
    decision = decide(found, configurations(measure, *costs), measure, earlier=EARLIER, **FINAL)
    assert decision.picked == "trial-0001"
    assert decision.spread is not None and decision.forecast is not None
    assert (decision.spread.source, float(decision.spread.degrees)) == ("replicates", 7)
    means = [sign * np.mean(one.seed_means) for one in decision.contenders]
    assert means == pytest.approx([np.mean(own) for own in costs], abs=0.05)
    assert sign * decision.forecast.mean > min(means) + 0.02, "luck is taken off, and it is drawn towards the others"
    assert [one.tied for one in decision.standings] == [True] * 5 + [False]
    assert [one.name for one in decision.standings] == [one.name for one in found]
    assert all(0 < one.score.half_width < 1 for one in decision.contenders)


def test_without_replicates_configurations_stand_by_what_earlier_sweeps_taught():
    found = configurations(LOSS, [0.0], [0.1], [3.0])
    decision = decide(found, found[:2], LOSS, earlier=EARLIER, **FINAL)
    assert (decision.picked, decision.spread, decision.forecast) == ("trial-0000", EARLIER, None)
    assert [one.tied for one in decision.standings] == [True, True, False]
    assert [one.weights_tied for one in decision.standings] == [True, False, False]


def test_where_nothing_is_known_of_seeds_nothing_is_said():
    found = configurations(LOSS, [0.0], [0.1])
    decision = decide(found, found, LOSS, earlier=None, **FINAL)
    assert (decision.spread, decision.forecast) == (None, None)
    assert [one.tied for one in decision.standings] == [None, None]
    assert all(math.isnan(one.score.half_width) for one in decision.contenders)


@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_never_wins_and_teaches_nothing(measure, bad):
    """Not by the other seeds of its configuration either; one task of many is enough."""
    found = configurations(measure, [2.0, 2.1, 2.2], [2.1, 2.2, 2.0], [2.3, 2.4, 2.2], [1.5, 5.0, 5.0])
    without = decide(found, found[:3], measure, earlier=None, **FINAL)
    values = found[3].values.copy()
    values[1:, 5] = bad
    with_it = decide(found, [*found[:3], Configuration(found[3].runs, values)], measure, earlier=None, **FINAL)
    assert (with_it.picked, without.picked) == (found[0].name, found[0].name)
    assert with_it.spread.variance == pytest.approx(without.spread.variance)
    assert with_it.contenders[0].score == without.contenders[0].score
    assert with_it.forecast.half_width == pytest.approx(without.forecast.half_width)
    values[0, 5] = bad
    broken = [Configuration(found[3].runs, values), found[0]]
    assert decide(found, broken, measure, earlier=None, **FINAL).picked == found[0].name


def losses(true, *, of_seeds=0.25, tasks=200, rng):
    """Configurations whose seeds change these true losses by a factor, tasks of a seed another."""

    def values(loss):
        of_seed = loss * np.exp(of_seeds * rng.standard_normal((3, 1)))
        return of_seed * np.exp(rng.standard_normal((3, tasks)) - 0.5)

    return [Configuration((f"trial-{number:04d}",), values(loss)) for number, loss in enumerate(true)]


def test_losses_are_forecast_whatever_their_unit():
    found = losses([0.2, 0.3, 0.4, 0.6, 0.9], rng=np.random.default_rng(0))
    larger = [Configuration(one.runs, 1000 * one.values) for one in found]
    one, other = (decide(of, of, LOSS, earlier=None, **FINAL) for of in (found, larger))
    assert other.forecast.mean == pytest.approx(1000 * one.forecast.mean)
    assert other.forecast.half_width == pytest.approx(1000 * one.forecast.half_width)
    assert other.spread.variance == pytest.approx(1e6 * one.spread.variance)
    accuracies = decide(found, found, ACCURACY, earlier=None, **FINAL)
    assert accuracies.spread.variance == seed_variance(Block.of(costs_of(found, ACCURACY))).variance


@pytest.mark.parametrize("far", [math.inf, 1e200])
def test_who_chooses_a_configuration_without_a_useful_score_is_told_so(far):
    found = losses([0.2, 0.25, 0.3], rng=np.random.default_rng(1))
    values = found[2].values.copy()
    values[:, 5] = far
    on_block_a = [*found[:2], Configuration(found[2].runs, values)]
    decision = decide(found, on_block_a, LOSS, earlier=EARLIER, chosen="trial-0002", **FINAL)
    assert (decision.picked, decision.best) == ("trial-0002", "trial-0000")
    assert decision.spread is not None and np.isfinite(decision.spread.variance)
    assert decision.contenders[2].score.mean > 1e100
    assert decision.forecast is None or decision.forecast.mean > 1e100


def test_one_seed_that_ends_far_away_leaves_a_forecast_of_losses_useful():
    found = losses([0.2, 0.25, 0.3, 0.4, 0.5], rng=np.random.default_rng(1))
    values = found[4].values.copy()
    values[2] *= 1000.0
    decision = decide(found, [*found[:4], Configuration(found[4].runs, values)], LOSS, earlier=None, **FINAL)
    seeds = decision.contenders[0].seed_means
    assert 0.5 * min(seeds) < decision.forecast.mean < 2 * max(seeds)


def test_forecasts_of_losses_hold_as_often_as_they_say():
    rng, held, sweeps = np.random.default_rng(2), 0, 300
    for _ in range(sweeps):
        true = 0.3 * np.exp(0.2 * rng.standard_normal(5))
        found = losses(true, rng=rng)
        decision = decide(found, found, LOSS, earlier=None, final_seeds=3, final_tasks=200)
        [final] = losses([true[int(decision.picked[-1])]], rng=rng)
        held += abs(final.values.mean() - decision.forecast.mean) <= decision.forecast.half_width
    assert 0.93 <= held / sweeps <= 0.995


def test_the_variance_it_uses_is_that_of_block_a():
    found = configurations(LOSS, [0.0, 0.4, 0.6], [0.1, 0.2, 0.3])
    decision = decide(found, found, LOSS, earlier=EARLIER, **FINAL)
    assert decision.spread is not None
    assert decision.spread.variance == seed_variance(Block.of(costs_of(found, LOSS))).variance
