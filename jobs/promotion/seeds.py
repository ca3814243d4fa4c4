"""What seeds do to a score: how far it varies over them, and by how much those that were chosen flatter.

Scores are costs here: less is better. All functions are pure, and take any number of sweeps in leading axes ``...``:
C configurations of up to S seeds each, nan where a configuration has no such seed. Seed 0 is the trial that the sweep
ranked; it leads because it was good and because it was lucky. The other seeds, the replicates, are fresh.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jobs.store.intervals import Values, student_quantile
from jobs.store.promoted import StatedSpread

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class SeedVariance:
    """The variance of a configuration's true score over its seeds, sigma_seed^2.

    Attributes:
        variance: ``(...)``; nan where there are too few seeds to tell.
        degrees: ``(...)``, degrees of freedom of that estimate.
        source: What it was estimated from.
    """

    variance: Values
    degrees: Values
    source: Literal["replicates", "earlier sweeps"]

    @classmethod
    def of(cls, stated: StatedSpread) -> "SeedVariance":
        """As a promotion has left it."""
        return cls(np.asarray(stated.variance), np.asarray(stated.degrees), stated.source)

    @property
    def known(self) -> bool:
        """Whether it could be estimated in every sweep."""
        return bool(np.isfinite(self.variance).all())


@dataclass(frozen=True)
class Block:
    """Scores of configurations and their replicates on one block of tasks.

    Attributes:
        means: ``(..., C, S)``, over the tasks.
        noise: ``(...)``, variance that the choice of tasks gives to the difference of two such means, halved.
        task_variance: ``(..., C, S)``, of one task's score.
        tasks: How many.
    """

    means: Values
    noise: Values
    task_variance: Values
    tasks: int

    @classmethod
    def of(cls, costs: Values) -> "Block":
        """Of every task's score.

        Args:
            costs: ``(..., C, S, tasks)``.
        """
        means, tasks = costs.mean(-1), costs.shape[-1]
        spread = costs.var(-1, ddof=1) if tasks > 1 else np.full_like(means, np.nan)
        there = ~np.isnan(means)
        counts = there.sum(-1)
        # two-way layout, seeds by tasks, in each configuration: what is left of neither is the noise of a comparison
        centred = np.where(there[..., None], costs - means[..., None], 0.0)
        of_task = centred.sum(-2, keepdims=True) / np.maximum(counts, 1)[..., None, None]
        left = np.where(there[..., None], centred - of_task, 0.0)
        degrees = np.maximum(counts - 1, 0).sum(-1) * (tasks - 1)
        return cls(means, (left**2).sum((-3, -2, -1)) / np.maximum(degrees, 1) / tasks, spread, tasks)

    @property
    def counts(self) -> Values:
        """``(..., C)``, seeds of each configuration."""
        counts: Values = (~np.isnan(self.means)).sum(-1).astype(np.float64)
        return counts

    @property
    def variance_of_tasks(self) -> Values:
        """``(..., C)``, of one task's score, the mean over a configuration's seeds; nan where none is known."""
        known = (~np.isnan(self.task_variance)).sum(-1)
        found: Values = np.where(known > 0, np.nansum(self.task_variance, -1) / np.maximum(known, 1), np.nan)
        return found


def over_seeds(means: Values) -> Values:
    """The mean of each configuration over its seeds: ``(..., C, S)`` to ``(..., C)``, inf for one without any."""
    counts = (~np.isnan(means)).sum(-1)
    total: Values = np.where(counts > 0, np.nansum(means, -1) / np.maximum(counts, 1), np.inf)
    return total


def picked(means: Values) -> NDArray[np.intp]:
    """The configuration with the best mean over its seeds; of equals the first: ``(..., C, S)`` to ``(...)``."""
    found: NDArray[np.intp] = over_seeds(means).argmin(-1)
    return found


def luck(means: Values) -> Values:
    """By how much seed 0 flatters, over all configurations that have replicates: ``(..., C, S)`` to ``(...)``.

    The least-squares estimate of what seeds 0 have in common beside their configurations. Being chosen makes nobody
    worse, so it is at least 0.
    """
    fresh = (~np.isnan(means[..., 1:])).sum(-1)
    weights = np.where(np.isnan(means[..., 0]), 0.0, fresh / (fresh + 1))
    gap = np.nansum(means[..., 1:], -1) / np.maximum(fresh, 1) - np.nan_to_num(means[..., 0])
    found: Values = (weights * gap).sum(-1) / np.maximum(weights.sum(-1), 1e-300)
    return np.maximum(found, 0.0)


def without_luck(means: Values) -> Values:
    """The scores as they would be, on average, had seed 0 not been chosen."""
    fair = means.copy()
    fair[..., 0] += luck(means)[..., None]
    return fair


def seed_variance(block: Block) -> SeedVariance:
    """Pooled over all configurations that have replicates; what the choice of tasks adds is taken off."""
    fair = without_luck(block.means)
    squares = np.nansum((fair - over_seeds(fair)[..., None]) ** 2, (-2, -1))
    degrees = np.maximum(block.counts - 1, 0).sum(-1) - 1  # one for the luck
    variance = np.maximum(squares / np.maximum(degrees, 1) - block.noise, 0.0)
    return SeedVariance(np.where(degrees >= 1, variance, np.nan), np.maximum(degrees, 0.0), "replicates")


def seed_intervals(block: Block, spread: SeedVariance) -> tuple[Values, Values]:
    """Each configuration's score, luck taken off, with half of its 95% interval over seeds and tasks: ``(..., C)``."""
    tasks = block.variance_of_tasks / block.tasks
    by_seeds = spread.variance[..., None] / np.maximum(block.counts, 1)
    half = student_quantile(spread.degrees)[..., None] * np.sqrt(by_seeds + tasks)
    return over_seeds(without_luck(block.means)), half


def pooled(earlier: Sequence[SeedVariance]) -> SeedVariance | None:
    """One estimate of those of earlier sweeps, each weighing as it has degrees of freedom; None of none."""
    usable = [one for one in earlier if one.known]
    degrees = np.sum([one.degrees for one in usable], axis=0)
    if not usable or not degrees > 0:
        return None
    squares = np.sum([one.variance * one.degrees for one in usable], axis=0)
    return SeedVariance(np.asarray(squares / degrees), np.asarray(degrees), "earlier sweeps")
