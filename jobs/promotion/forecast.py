"""What the final run will show: the picked configuration's score, shrunk as the replicates of all leaders teach."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.promotion.seeds import Block, SeedVariance, over_seeds, without_luck
from jobs.store.intervals import Values, student_quantile


@dataclass(frozen=True)
class Forecast:
    """A forecast of the final run's score, a cost.

    Attributes:
        mean: ``(...)``; nan where the picked configuration has no replicate.
        half_width: ``(...)``, of the 95% interval that the final run's own mean will lie in.
    """

    mean: Values
    half_width: Values


def forecast(block: Block, spread: SeedVariance, *, best: NDArray[np.intp], seeds: int, tasks: int) -> Forecast:
    """Empirical Bayes over the replicates, in two steps.

    The luck of the seeds that the sweep chose, by which they are better than their own replicates, is taken off. Then
    the picked configuration's mean is drawn towards that of all leaders (James and Stein), the more the less of the
    differences between leaders is left when chance is taken off: the best of several is the luckiest too.

    Args:
        block: Scores of the leaders and their replicates.
        spread: Variance over seeds.
        best: ``(...)``, index of the picked configuration.
        seeds: Of the final run.
        tasks: Test tasks of each seed.
    """
    counts = block.counts
    fair = over_seeds(without_luck(block.means))
    seen = counts > 1
    leaders = seen.sum(-1)
    centre = np.where(seen, fair, 0.0).sum(-1) / np.maximum(leaders, 1)
    between = np.where(seen, fair - centre[..., None], 0.0) ** 2
    observed = between.sum(-1) / np.maximum(leaders - 1, 1)
    # seed 0 of a leader hardly varies once luck is off, because all were chosen by it: the fresh seeds' share counts
    chance = (spread.variance + block.noise)[..., None] * (counts - 1) / np.maximum(counts, 1) ** 2
    mean_chance = np.where(seen, chance, 0.0).sum(-1) / np.maximum(leaders, 1)
    share = np.maximum(leaders - 3, 0) / np.maximum(leaders - 1, 1)
    true = np.maximum(observed - share * mean_chance, 0.0)
    own, of_own = _at(chance, best), _at(fair, best)
    kept = true / np.maximum(true + share * own, 1e-300)
    kept = np.where((share > 0) & (observed > 0), kept, 1.0)
    mean = np.where(_at(counts, best) > 1, centre + kept * (of_own - centre), np.nan)
    of_tasks = np.nan_to_num(_at(block.variance_of_tasks, best))
    own_seeds = np.maximum(_at(counts, best), 1)
    variance = spread.variance * (1 / own_seeds + 1 / seeds) + of_tasks * (1 / block.tasks + 1 / seeds / tasks)
    return Forecast(mean, student_quantile(spread.degrees) * np.sqrt(variance))


def _at(values: Values, index: NDArray[np.intp]) -> Values:
    return np.take_along_axis(values, index[..., None], -1)[..., 0]
