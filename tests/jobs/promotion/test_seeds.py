"""Seeds, ties, forecasts and races, against values worked by hand and plain loops over one sweep."""

import math

import numpy as np
import pytest
from scipy import stats

from jobs.promotion.forecast import forecast
from jobs.promotion.racing import next_seeds
from jobs.promotion.seeds import Block, SeedVariance, luck, over_seeds, picked, pooled, seed_intervals, seed_variance
from jobs.promotion.standing import Configuration, costs_of, standings
from jobs.promotion.ties import Behind, configurations_margin, tied, weights_margin
from oplstm.episodes.measure import ACCURACY, LOSS

NAN = math.nan
KNOWN = SeedVariance(np.asarray(0.25), np.asarray(9.0), "replicates")


def block(means, noise=0.0, task_variance=0.0, tasks=100):
    means = np.asarray(means, dtype=float)
    return Block(means, np.asarray(noise), np.where(np.isnan(means), np.nan, task_variance), tasks)


def test_luck_is_what_seed_0_has_ahead_of_its_replicates_on_average():
    assert luck(np.array([[1.0, 2.0, 4.0], [2.0, 2.0, 4.0]])) == pytest.approx(1.5)
    assert luck(np.array([[3.0, 2.0], [3.0, 2.5]])) == 0, "being chosen makes nobody worse"
    assert luck(np.array([[3.0, NAN], [3.0, NAN]])) == 0, "nothing is known without replicates"
    # weights 1/2 and 2/3 for one and two replicates, none for a leader that has none
    assert luck(np.array([[NAN, 9.0], [2.0, 3.0]])) == pytest.approx(1.0), "of a seed 0 without a score neither"
    ragged = np.array([[0.0, 1.0, NAN], [0.0, 4.0, 4.0], [7.0, NAN, NAN]])
    assert luck(ragged) == pytest.approx((0.5 + 4 * 2 / 3) / (7 / 6))


def test_the_variance_over_seeds_leaves_out_luck_and_the_choice_of_tasks():
    means = np.array([[1.0, 2.0, 4.0], [2.0, 2.0, 4.0]])
    fair = np.array([[2.5, 2.0, 4.0], [3.5, 2.0, 4.0]])
    squares = sum(((row - row.mean()) ** 2).sum() for row in fair)
    spread = seed_variance(block(means, noise=0.1))
    assert (float(spread.degrees), spread.source) == (3, "replicates")
    assert spread.variance == pytest.approx(squares / 3 - 0.1)
    assert seed_variance(block(means, noise=9.0)).variance == 0
    alone = seed_variance(block([[1.0, 2.0]]))
    assert not alone.known and alone.degrees == 0


def test_seeds_that_are_not_there_count_for_nothing():
    ragged = block([[1.0, 2.0, 4.0], [2.0, 2.0, 4.0], [9.0, NAN, NAN]])
    full = block([[1.0, 2.0, 4.0], [2.0, 2.0, 4.0]])
    assert seed_variance(ragged).variance == pytest.approx(seed_variance(full).variance)
    assert over_seeds(ragged.means).tolist() == pytest.approx([7 / 3, 8 / 3, 9.0])
    assert ragged.counts.tolist() == [3, 3, 1] and picked(ragged.means) == 0


def test_noise_of_a_comparison_is_that_of_its_differences():
    rng = np.random.default_rng(0)
    tasks, own = 4000, 0.5
    costs = 3 * rng.standard_normal(tasks) + own * rng.standard_normal((3, 4, tasks)) + np.arange(12.0).reshape(3, 4, 1)
    found = Block.of(costs)
    differences = costs[:, 0] - costs[:, 1]
    assert found.noise == pytest.approx(differences.var(-1, ddof=1).mean() / 2 / tasks, rel=0.05)
    assert found.noise == pytest.approx(own**2 / tasks, rel=0.05)
    assert found.task_variance[0, 0] == pytest.approx(9 + own**2, rel=0.1)
    costs[2, 1:] = NAN
    assert Block.of(costs).noise == pytest.approx(own**2 / tasks, rel=0.05)


def test_weights_tie_as_paired_t_intervals_say():
    rng = np.random.default_rng(1)
    costs = rng.standard_normal(50) + 0.1 * rng.standard_normal((4, 50)) + np.array([[0.0], [0.01], [0.05], [1.0]])
    behind = Behind.of(costs, np.asarray(0))
    for row in range(1, 4):
        test = stats.ttest_rel(costs[row], costs[0])
        interval = test.confidence_interval(0.95)
        assert behind.mean[row] == pytest.approx((interval.low + interval.high) / 2)
        assert weights_margin(behind)[row] == pytest.approx((interval.high - interval.low) / 2)
    third = stats.ttest_rel(costs[2], costs[0]).pvalue > 0.05
    assert tied(behind, weights_margin(behind)).tolist() == [True, True, third, False]


def test_configurations_tie_with_the_variance_of_both_seeds_beside_that_of_tasks():
    behind = Behind(np.array([0.0, 1.0, 1.5]), np.array([0.0, 0.04, 0.04]), np.inf)
    counts, best = np.array([3.0, 1.0, 3.0]), np.asarray(0)
    margin = configurations_margin(behind, KNOWN, counts=counts, best=best)
    for row, total in ((1, 0.25 * (1 + 1 / 3) + 0.04), (2, 0.25 * 2 / 3 + 0.04)):
        of_seeds = total - 0.04
        degrees = total**2 / (of_seeds**2 / 9)
        assert margin[row] == pytest.approx(stats.t.ppf(0.975, degrees) * math.sqrt(total))
    assert tied(behind, margin).tolist() == [True, True, False]
    assert (configurations_margin(behind, KNOWN, counts=counts, best=best) >= weights_margin(behind)).all()


def test_earlier_sweeps_are_pooled_by_their_degrees_of_freedom():
    other = SeedVariance(np.asarray(1.0), np.asarray(1.0), "replicates")
    unknown = SeedVariance(np.asarray(NAN), np.asarray(0.0), "replicates")
    both = pooled([KNOWN, unknown, other])
    assert both is not None and both.source == "earlier sweeps"
    assert (float(both.variance), float(both.degrees)) == (pytest.approx((9 * 0.25 + 1) / 10), 10)
    assert pooled([]) is None and pooled([unknown]) is None


def test_a_forecast_takes_luck_off_and_shrinks_by_what_chance_explains():
    # five leaders whose seed 0 is 1 ahead; without that their means are 0, 1, 2, 3, 4
    means = np.array([[row - 2 / 3, row + 1 / 3, row + 1 / 3] for row in range(5)])
    few = forecast(block(means), KNOWN, best=np.asarray(0), seeds=3, tasks=600)
    fair, spread = np.arange(5.0) + 1 / 3, 2.5
    kept = 1 - (2 / 4) * (0.25 * 2 / 9) / spread
    assert few.mean == pytest.approx(fair.mean() + kept * (fair[0] - fair.mean()))
    assert few.half_width == pytest.approx(stats.t.ppf(0.975, 9) * math.sqrt(0.25 * (1 / 3 + 1 / 3)))
    alike = means - np.arange(5.0)[:, None] + 0.01 * np.arange(5.0)[:, None]
    assert forecast(block(alike), KNOWN, best=np.asarray(0), seeds=3, tasks=600).mean == pytest.approx(1 / 3 + 0.02)
    three = forecast(block(means[:3]), KNOWN, best=np.asarray(0), seeds=3, tasks=600)
    assert three.mean == pytest.approx(1 / 3), "of three or fewer leaders nothing can be learned about their spread"
    none = forecast(block([[1.0, NAN], [2.0, 3.0]]), KNOWN, best=np.asarray(0), seeds=3, tasks=600)
    assert math.isnan(none.mean)


def test_many_sweeps_at_once_are_as_each_alone():
    rng = np.random.default_rng(2)
    costs = rng.standard_normal((3, 5, 3, 40)) + rng.standard_normal((3, 5, 3, 1))
    costs[1, 2, 2] = NAN
    together = Block.of(costs)
    spread, best = seed_variance(together), picked(together.means)
    foreseen = forecast(together, spread, best=best, seeds=3, tasks=600)
    more = next_seeds(together, left=np.array([5, 2, 0]))
    for sweep in range(3):
        alone = Block.of(costs[sweep])
        own = seed_variance(alone)
        assert own.variance == pytest.approx(spread.variance[sweep]) and picked(alone.means) == best[sweep]
        one = forecast(alone, own, best=picked(alone.means), seeds=3, tasks=600)
        assert one.mean == pytest.approx(foreseen.mean[sweep])
        assert one.half_width == pytest.approx(foreseen.half_width[sweep])
        assert seed_intervals(alone, own)[1] == pytest.approx(seed_intervals(together, spread)[1][sweep], nan_ok=True)
        assert next_seeds(alone, left=np.asarray([5, 2, 0][sweep])).tolist() == more[sweep].tolist()


def test_a_race_gives_seeds_to_the_best_of_those_that_are_tied():
    start = block([[float(row)] for row in range(8)])
    assert next_seeds(start, left=np.asarray(15)).tolist() == [True] * 5 + [False] * 3, "nothing is known: all are tied"
    assert next_seeds(start, left=np.asarray(2)).tolist() == [True] * 2 + [False] * 6
    assert not next_seeds(start, left=np.asarray(0)).any()
    apart = block([[0.0, 0.1, 0.2], [0.3, 0.1, 0.2], [5.0, 5.1, 5.2], [9.0, NAN, NAN]])
    assert next_seeds(apart, left=np.asarray(15)).tolist() == [True, True, False, False]
    lost = block([[0.0, 0.1], [NAN, NAN], [0.1, 0.3]])
    assert next_seeds(lost, left=np.asarray(15)).tolist() == [True, False, True]
    over = block([[0.0, 0.1, 0.2], [5.0, 5.1, 5.2]])
    assert not next_seeds(over, left=np.asarray(15)).any()


def test_a_race_goes_on_with_the_configuration_that_looks_best():
    means = block([[0.3, 0.5], [0.1, 0.9], [0.2, 0.2]])
    assert next_seeds(means, left=np.asarray(15), at_once=1).tolist() == [False, False, True]


@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_standings_say_what_the_ranking_hides(measure):
    rng = np.random.default_rng(3)
    sign = measure.cost(1.0)
    hard = rng.standard_normal(200)

    def seeds(*shifts):
        return np.stack([hard + sign * shift + 0.05 * rng.standard_normal(200) for shift in shifts])

    found = [
        Configuration(("trial-0004",), seeds(0.0, 0.5, 0.4)),
        Configuration(("trial-0001",), seeds(0.1, 0.2, 0.1)),
        Configuration(("trial-0002",), seeds(0.3)),
        Configuration(("trial-0000",), seeds(3.0)),
    ]
    costs = costs_of(found, measure)
    assert costs.shape == (4, 3, 200) and np.isnan(costs[2, 1:]).all()
    spread = seed_variance(Block.of(costs))
    best = int(picked(costs[:2].mean(-1)))
    assert best == 1
    shown = standings(found, measure, best=best, spread=spread)
    assert [one.weights_tied for one in shown] == [True, False, False, False]
    assert [one.tied for one in shown] == [True, True, True, False]
    assert [one.seeds for one in shown] == [3, 3, 1, 1]
    assert str(shown[1].behind.mean) == "0.0" and shown[1].behind.half_width == 0, "it is not behind itself"
    assert sign * shown[3].behind.mean == pytest.approx(3.0 - 0.4 / 3, abs=0.02)
    assert shown[3].score.mean == pytest.approx(found[3].values[0].mean())
    unknown = standings(found, measure, best=0, spread=None)
    assert [one.tied for one in unknown] == [None] * 4
    assert [one.weights_tied for one in unknown] == [True, False, False, False]


def test_a_single_task_ties_all():
    found = [Configuration(("a",), np.array([[0.1]])), Configuration(("b",), np.array([[0.9]]))]
    assert all(one.weights_tied and one.tied for one in standings(found, LOSS, best=0, spread=KNOWN))
