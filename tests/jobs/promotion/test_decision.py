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


def test_a_score_that_is_no_number_never_wins():
    found = configurations(LOSS, [0.0, 0.0], [0.5, 0.5])
    broken = [Configuration((found[0].name,), np.full((2, 300), math.nan)), found[1]]
    assert decide(found, broken, LOSS, earlier=None, **FINAL).picked == found[1].name
    half = [Configuration((found[0].name,), np.stack([found[0].values[0], np.full(300, math.nan)])), found[1]]
    assert decide(found, half, LOSS, earlier=None, **FINAL).picked == found[0].name


def test_the_variance_it_uses_is_that_of_block_a():
    found = configurations(LOSS, [0.0, 0.4, 0.6], [0.1, 0.2, 0.3])
    decision = decide(found, found, LOSS, earlier=EARLIER, **FINAL)
    assert decision.spread is not None
    assert decision.spread.variance == seed_variance(Block.of(costs_of(found, LOSS))).variance
