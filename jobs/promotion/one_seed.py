"""What a sweep of one seed each is worth: how often the best configuration wins, and how a winner's score flatters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.promotion.selection import Leader
from jobs.store.promoted import LeaderScores
from oplstm.episodes.measure import Measure

LEAST: Final = 3
"""Configurations, and fresh seeds of each: fewer say nothing about a variance."""
_DRAWS: Final = 20_000


@dataclass(frozen=True)
class OneSeed:
    """Variances of a configuration's score with one seed, and what picking by it comes to.

    Attributes:
        configurations: How many are compared.
        seeds: Fresh ones of each, at least.
        between: Variance of the true scores of the configurations.
        within: Variance of one configuration's score over seeds, and over the tasks that all share.
        best_wins: Share of sweeps of one seed each that the best configuration wins; None where nothing but chance sets
            the configurations apart, so that none is the best.
        worse: By how much the winner is worse than the best one, a cost, on average.
        flattered: By how much the winner's score is better than what its configuration is worth, on average.
    """

    configurations: int
    seeds: int
    between: float
    within: float
    best_wins: float | None
    worse: float
    flattered: float


def among(leaders: Iterable[Leader | LeaderScores], measure: Measure) -> OneSeed | None:
    """What one seed each is worth to the leaders of a promotion; None where they have too few seeds."""
    return one_seed([[None if score is None else measure.cost(score) for score in one.seeds] for one in leaders])


def one_seed(costs: Sequence[Sequence[float | None]]) -> OneSeed | None:
    """Sweeps of one seed each are drawn from what more seeds have shown.

    The configurations' true scores are their means, drawn towards the mean of all as far as chance made them differ
    (James and Stein); a seed adds one of the configuration's own residuals. The seed that a sweep chose a
    configuration by is left out, because it was chosen.

    Args:
        costs: Of each configuration the score of each seed, that of the sweep first; None where there is none.

    Returns:
        None where there are fewer than ``LEAST`` configurations of as many fresh seeds.
    """
    fresh = [np.array([cost for cost in own[1:] if cost is not None], dtype=np.float64) for own in costs]
    fresh = [own[np.isfinite(own)] for own in fresh]
    fresh = [own for own in fresh if len(own) >= LEAST]
    if len(fresh) < LEAST:
        return None
    counts = np.array([len(own) for own in fresh])
    means = np.array([own.mean() for own in fresh])
    within = sum(((own - own.mean()) ** 2).sum() for own in fresh) / (counts - 1).sum()
    chance = within * (1 / counts).mean()
    between = max(means.var(ddof=1) - chance, 0.0)
    kept = between / (between + chance) if chance else 1.0
    true = means.mean() + kept * (means - means.mean())
    dice = np.random.default_rng(0)  # the same promotion says the same
    residuals = [(own - own.mean()) * np.sqrt(len(own) / (len(own) - 1)) for own in fresh]
    seen = true[:, None] + np.stack([dice.choice(own, _DRAWS) for own in residuals])
    winner = seen.argmin(0)
    return OneSeed(
        configurations=len(fresh),
        seeds=int(counts.min()),
        between=float(between),
        within=float(within),
        best_wins=float((winner == true.argmin()).mean()) if between else None,
        worse=max(float(true[winner].mean() - true.min()), 0.0),  # rounding
        flattered=max(float((true[winner] - seen.min(0)).mean()), 0.0),
    )
