"""Tuning curves: the best score that so many trials find, with bands that hold for all numbers of trials at once.

After Lourie, Cho and He, "Show Your Work with Confidence: Confidence Bands for Tuning Curves" (2024). Trials are draws
of one distribution of costs (less is better) whose distribution function F lies, with a given confidence, between two
step functions. The best of k trials is below c with probability 1 - (1 - F(c))^k, so the bands of F are bands of its
median for every k. The median and not the mean, because a trial that diverged has no score, only a rank: the last.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The median of the best cost of k trials, by k.

    Attributes:
        counts: k, ``(n,)``; need not be whole.
        typical: Estimate of the median, ``(n,)``; inf where the typical best of k has diverged.
        low: Lower end of the band, ``(n,)``; -inf where the trials say nothing.
        high: Upper end, ``(n,)``; inf where they say nothing.
    """

    counts: Floats
    typical: Floats
    low: Floats
    high: Floats


def tuning_curve(costs: Sequence[float], counts: Floats, *, confidence: float = 0.95) -> Curve:
    """The curve that trials with these costs give evidence of.

    Args:
        costs: Of exchangeable trials; inf for one that diverged.
        counts: k, at least 1 each.
        confidence: That the whole band holds.
    """
    ordered, trials = np.sort(np.asarray(costs, np.float64)), len(costs)
    wanted = 1 - 0.5 ** (1 / counts)  # the F at which 1 - (1 - F)^k is a half
    low, high = band(trials, confidence)
    return Curve(
        counts,
        ordered[np.minimum(np.ceil(trials * wanted - 1e-9).astype(int), trials) - 1],
        np.concatenate([[-np.inf], ordered])[_first_reached(high, wanted)],
        np.concatenate([[-np.inf], ordered, [np.inf]])[_first_reached(low, wanted)],
    )


def _first_reached(steps: Floats, wanted: Floats) -> NDArray[np.intp]:
    """How many of the costs it takes until a step function reaches each wanted value; one more than all where never."""
    found: NDArray[np.intp] = np.searchsorted(steps, wanted - 1e-12, side="left")
    return found


@functools.lru_cache(maxsize=64)
def band(trials: int, confidence: float) -> tuple[Floats, Floats]:
    """Bounds of F between the i-th and the next smallest of so many costs, ``(trials + 1,)`` each, all at once.

    The i-th of n uniform numbers has the distribution Beta(i, n + 1 - i). The intervals of all i have one level each,
    chosen so that together they hold with exactly ``confidence``.
    """
    level = optimize.brentq(lambda log: coverage(*_pointwise(trials, np.exp(log))) - confidence,
                            np.log((1 - confidence) / trials / 4), np.log(1 - confidence), xtol=1e-6)  # fmt: skip
    least, most = _pointwise(trials, np.exp(level))
    return np.concatenate([[0.0], least]), np.concatenate([most, [1.0]])


def _pointwise(trials: int, level: float) -> tuple[Floats, Floats]:
    """Intervals of the order statistics of uniform numbers, each missed with probability ``level``."""
    rank = np.arange(1.0, trials + 1)
    least, most = (special.betaincinv(rank, trials + 1 - rank, tail) for tail in (level / 2, 1 - level / 2))
    return np.asarray(least), np.asarray(most)


def coverage(least: Floats, most: Floats) -> float:
    """Probability that every i-th smallest of n uniform numbers lies between ``least[i]`` and ``most[i]``; both rise.

    How many of them are below c is a Poisson process in c, given that there are n below 1: from one bound to the next
    that number grows independently of the past, and each bound cuts off numbers that are too large or too small.
    """
    trials = len(least)
    bounds = np.concatenate([least, most])
    order = np.argsort(bounds, kind="stable")
    chance, first, before = np.ones(1), 0, 0.0  # of the numbers first, first + 1, ... of points below the bound before
    upper, lower = 0, 0
    for place in order:
        grown = np.arange(trials - first + 1)
        mean = trials * (bounds[place] - before)
        steps = np.exp(special.xlogy(grown, mean) - mean - special.gammaln(grown + 1))
        steps = steps[: max(1, int(np.searchsorted(-steps[grown > mean], -1e-18)) + int((grown <= mean).sum()))]
        chance = np.convolve(chance, steps)[: trials - first + 1]
        before = bounds[place]
        if place < trials:  # least[i] passed: fewer than i + 1 below it
            upper += 1
            chance = chance[: max(upper - first, 0)]
        else:  # most[i] passed: at least i + 1 below it
            lower += 1
            chance, first = chance[max(lower - first, 0) :], max(first, lower)
    rest = trials * (1 - before)
    left = trials - first - np.arange(len(chance))
    whole = (chance * np.exp(special.xlogy(left, rest) - rest - special.gammaln(left + 1))).sum()
    return float(whole / np.exp(special.xlogy(trials, trials) - trials - special.gammaln(trials + 1)))


def apart(one: Curve, other: Curve) -> NDArray[np.bool_]:
    """``(n,)``, where the first is better for certain: its whole band lies below the other's."""
    found: NDArray[np.bool_] = one.high < other.low
    return found
