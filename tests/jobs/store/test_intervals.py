"""The statistics of promotion and final results, against scipy's own intervals and by hand."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from jobs.store.intervals import Interval

LOSSES = np.random.default_rng(0).gamma(2.0, 1.5, 37)
REFERENCE = LOSSES + np.random.default_rng(1).normal(0.1, 0.3, 37)


def half_width(interval):
    return (interval[1] - interval[0]) / 2


def test_over_tasks_the_interval_is_normal():
    got = Interval.of(LOSSES, over="tasks")
    wanted = stats.norm.interval(0.95, LOSSES.mean(), stats.sem(LOSSES))
    assert (got.mean, got.half_width) == pytest.approx((LOSSES.mean(), half_width(wanted)), rel=1e-12)


def test_over_seeds_the_interval_is_students():
    means = [0.0298, 0.0496, 0.0425]  # of the published LSTM, 5-shot
    got = Interval.of(means, over="seeds")
    wanted = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert (got.mean, got.half_width) == pytest.approx((np.mean(means), half_width(wanted)), rel=1e-12)
    assert got.half_width == pytest.approx(0.0249, abs=5e-5)  # Figure 5


def test_a_paired_difference_is_the_paired_t_test():
    got = Interval.of(REFERENCE - LOSSES, over="differences")
    wanted = stats.ttest_rel(REFERENCE, LOSSES).confidence_interval(0.95)
    assert (got.mean - got.half_width, got.mean + got.half_width) == pytest.approx(tuple(wanted), rel=1e-10)


def test_by_hand():
    assert Interval.of([1.0, 2.0, 3.0, 4.0], over="tasks").half_width == pytest.approx(1.959964 * math.sqrt(5 / 12))
    assert Interval.of([1.0, 3.0], over="seeds").half_width == pytest.approx(12.7062 * 1.0, rel=1e-5)
    assert Interval.of(np.array([1.0, 3.0]), over="differences") == Interval(2.0, pytest.approx(12.7062, rel=1e-5))


@pytest.mark.parametrize("over", ["tasks", "seeds", "differences"])
def test_one_value_has_no_interval_and_is_still_json(over):
    got = Interval.of(np.array([0.25]), over=over)
    assert (got.mean, math.isnan(got.half_width)) == (0.25, True)
    stated = dataclasses.asdict(got.stated())
    assert json.loads(json.dumps(stated, allow_nan=False)) == {"mean": 0.25, "half_width": None}
