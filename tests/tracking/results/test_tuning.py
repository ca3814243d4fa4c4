"""Tuning curves: bands of known coverage, and medians worked out by brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tracking.results.tuning import apart, band, coverage, tuning_curve


def test_the_probability_between_bounds_is_exact() -> None:
    assert coverage(np.array([0.2]), np.array([0.7])) == pytest.approx(0.5)
    # two: both in [a1, b1] x [a2, b2] in order; by hand 2! times the area where x < y
    assert coverage(np.array([0.1, 0.3]), np.array([0.6, 0.9])) == pytest.approx(0.51)
    assert coverage(np.zeros(5), np.ones(5)) == pytest.approx(1)
    # all of five below 1/2: one of 32
    assert coverage(np.zeros(5), np.full(5, 0.5)) == pytest.approx(1 / 32)


@pytest.mark.parametrize(("trials", "confidence"), [(1, 0.95), (7, 0.9), (40, 0.95)])
def test_bands_hold_as_often_as_they_say(trials: int, confidence: float) -> None:
    low, high = band(trials, confidence)
    drawn = np.sort(np.random.default_rng(0).random((20_000, trials)), axis=1)
    held = ((low[1:] <= drawn) & (drawn <= high[:-1])).all(1).mean()
    assert held == pytest.approx(confidence, abs=0.008)
    assert (low[0], high[-1]) == (0, 1)


def test_a_band_is_of_one_level() -> None:
    low, high = band(12, 0.95)
    levels = [stats.beta(i, 13 - i).cdf(low[i]) for i in range(1, 13)]
    levels += [stats.beta(i, 13 - i).sf(high[i - 1]) for i in range(1, 13)]
    assert levels == pytest.approx([levels[0]] * 24) and 0.025 / 12 < levels[0] < 0.025


def test_the_middle_of_the_best_of_k() -> None:
    costs = [4.0, 1.0, 3.0, 2.0, math.inf]
    curve = tuning_curve(costs, np.arange(1.0, 6))
    for k, typical in zip((1, 2, 3), curve.typical, strict=False):
        best = sorted(min(drawn) for drawn in itertools.product(costs, repeat=k))
        assert typical == best[(len(best) - 1) // 2]
    assert (curve.low <= curve.typical).all() and (curve.typical <= curve.high).all()
    for falling in (curve.typical, curve.low, curve.high):
        assert (falling[1:] <= falling[:-1]).all()
    assert curve.high[0] == math.inf, "with five trials nobody knows that more than half diverge"


def test_a_curve_s_band_holds_the_true_curve() -> None:
    rng, counts = np.random.default_rng(1), np.arange(1.0, 31)
    true, held = 1 - 0.5 ** (1 / counts), 0
    for _ in range(300):
        curve = tuning_curve(rng.random(30), counts, confidence=0.9)
        held += bool(((curve.low <= true) & (true <= curve.high)).all())
    assert held >= 0.9 * 300


def test_a_better_space_is_told_apart_where_both_bands_are_known() -> None:
    rng, counts = np.random.default_rng(2), np.arange(1.0, 61)
    good = tuning_curve(rng.random(60), counts)
    bad = tuning_curve(1.5 + rng.random(60), counts)
    assert apart(good, bad)[:4].all() and not apart(bad, good).any()
    assert not apart(good, bad)[-1], "of the very best of 60 in 60 trials nothing is known"
