"""The statistics of promotion and final results, against scipy's own intervals and by hand."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from jobs.store.intervals import Interval, mean_over_seeds, mean_over_tasks, paired_difference

pytestmark = pytest.mark.unit

LOSSES = np.random.default_rng(0).gamma(2.0, 1.5, 37)
REFERENCE = LOSSES + np.random.default_rng(1).normal(0.1, 0.3, 37)


def half_width(interval):
    return (interval[1] - interval[0]) / 2


def test_over_tasks_the_interval_is_normal():
    got = mean_over_tasks(LOSSES)
    wanted = stats.norm.interval(0.95, LOSSES.mean(), stats.sem(LOSSES))
    assert (got.mean, got.half_width) == pytest.approx((LOSSES.mean(), half_width(wanted)), rel=1e-12)


def test_over_seeds_the_interval_is_students():
    means = [0.0298, 0.0496, 0.0425]  # of the published LSTM, 5-shot
    got = mean_over_seeds(means)
    wanted = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (got.mean, got.half_width) == pytest.approx((np.mean(means), half_width(wanted)), rel=1e-12)
    assert got.half_width == pytest.approx(0.0249, abs=5e-5)  # Figure 5


def test_a_paired_difference_is_the_paired_t_test():
    got = paired_difference(REFERENCE, LOSSES)
    wanted = stats.ttest_rel(REFERENCE, LOSSES).confidence_interval(0.95)
    assert (got.mean - got.half_width, got.mean + got.half_width) == pytest.approx(tuple(wanted), rel=1e-10)


def test_by_hand():
    assert mean_over_tasks(np.array([1.0, 2.0, 3.0, 4.0])).half_width == pytest.approx(1.959964 * math.sqrt(5 / 12))
    assert mean_over_seeds([1.0, 3.0]).half_width == pytest.approx(12.7062 * 1.0, rel=1e-5)
    assert paired_difference(np.array([2.0, 4.0]), np.array([1.0, 1.0])).mean == 2.0


def test_pairing_takes_the_tasks_own_difficulty_out():
    harder = LOSSES * 100
    assert paired_difference(harder + 0.5, harder) == Interval(pytest.approx(0.5), pytest.approx(0, abs=1e-9))


@pytest.mark.parametrize("statistic", [mean_over_tasks, lambda one: mean_over_seeds(list(one)),
                                       lambda one: paired_difference(one, np.zeros(1))])  # fmt: skip
def test_one_value_has_no_interval_and_is_still_json(statistic):
    got = statistic(np.array([0.25]))
    assert (got.mean, math.isnan(got.half_width)) == (0.25, True)
    assert json.loads(json.dumps(got.to_dict(), allow_nan=False)) == {"mean": 0.25, "half_width": None}
