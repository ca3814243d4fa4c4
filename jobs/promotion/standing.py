"""How the configurations of a sweep stand beside the best one: what its ranking hides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.promotion.seeds import SeedVariance
from jobs.promotion.ties import Behind, configurations_margin, tied, weights_margin
from jobs.store.intervals import Interval, Values
from oplstm.episodes.measure import Measure


@dataclass(frozen=True)
class Configuration:
    """A configuration and its seeds.

    Attributes:
        runs: Names of the trial that the sweep ranked, and of its replicates.
        values: ``(seeds, tasks)``, by the benchmark's measure, on tasks that are common to all, a row a run.
    """

    runs: tuple[str, ...]
    values: Values

    @property
    def name(self) -> str:
        """Of the trial that the sweep ranked."""
        return self.runs[0]


@dataclass(frozen=True)
class Standing:
    """How a configuration stands.

    Attributes:
        name: Of the trial.
        seeds: How many its mean is over.
        score: Of the trial's weights, with its interval over tasks.
        behind: Mean difference to the best configuration, with the interval that says whether it is tied: over seeds
            and tasks, or over tasks alone where the variance over seeds is unknown.
        weights_tied: Whether the trial's weights may be as good as those of the best trial.
        tied: Whether the configuration may be as good as the best one; None where the variance over seeds is unknown.
    """

    name: str
    seeds: int
    score: Interval
    behind: Interval
    weights_tied: bool
    tied: bool | None


def standings(
    found: Sequence[Configuration], measure: Measure, *, best: int, spread: SeedVariance | None
) -> list[Standing]:
    """How every configuration of a sweep stands, those beyond any cap too.

    Args:
        found: The configurations, the trial with the best score first.
        measure: What the values are, and which are better.
        best: Place of the configuration that the others are compared with, the picked one.
        spread: Variance over seeds; None where it is unknown.
    """
    sign = measure.cost(1.0)
    trials = Behind.of(sign * np.stack([one.values[0] for one in found]), np.asarray(0))
    weights = tied(trials, weights_margin(trials))
    place = np.asarray(best)
    behind = Behind.of(sign * np.stack([one.values.mean(0) for one in found]), place)
    margin, among = weights_margin(behind), None
    if spread is not None:
        counts = np.array([float(len(one.values)) for one in found])
        margin = configurations_margin(behind, spread, counts=counts, best=place)
        among = tied(behind, margin)
    margin[best] = 0.0  # of a difference to itself
    return [
        Standing(
            one.name,
            len(one.values),
            Interval.of(one.values[0], over="tasks"),
            Interval(sign * float(behind.mean[row]) + 0.0, float(margin[row])),  # no -0.0
            bool(weights[row]),
            None if among is None else bool(among[row]),
        )
        for row, one in enumerate(found)
    ]


def costs_of(found: Sequence[Configuration], measure: Measure) -> Values:
    """``(C, S, tasks)``, less is better; nan where a configuration has fewer seeds than another.

    What is no number is worse than all numbers.
    """
    seeds = max(len(one.values) for one in found)
    costs = np.full((len(found), seeds, found[0].values.shape[1]), np.nan)
    for row, one in enumerate(found):
        values = measure.cost(1.0) * one.values
        costs[row, : len(values)] = np.where(np.isfinite(values), values, np.inf)
    return costs
