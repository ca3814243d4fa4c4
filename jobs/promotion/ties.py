"""What cannot be told apart from the best: trained weights by their tasks, configurations by their seeds too.

Scores are costs here: less is better. The functions are pure, and take any number of sweeps in leading axes ``...``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.promotion.seeds import Flags, SeedVariance
from jobs.store.intervals import Values, student_quantile


@dataclass(frozen=True)
class Behind:
    """Paired differences to the best on common tasks.

    Attributes:
        mean: ``(..., C)``, how far each is behind; 0 for the best.
        variance: ``(..., C)``, of that mean over the choice of tasks; nan with a single task.
        degrees: Degrees of freedom of the variance.
    """

    mean: Values
    variance: Values
    degrees: float

    @classmethod
    def of(cls, costs: Values, best: NDArray[np.intp]) -> "Behind":
        """Of every task's score.

        Args:
            costs: ``(..., C, tasks)``; where a configuration has several seeds, the mean over them.
            best: ``(...)``, index of the one that the others are compared with.
        """
        tasks = costs.shape[-1]
        difference = costs - np.take_along_axis(costs, best[..., None, None], -2)
        variance = difference.var(-1, ddof=1) / tasks if tasks > 1 else np.full(difference.shape[:-1], np.nan)
        return cls(difference.mean(-1), variance, tasks - 1)


def weights_margin(behind: Behind) -> Values:
    """``(..., C)``, half of the 95% interval of each difference: a claim about trained weights."""
    return student_quantile(np.asarray(behind.degrees)) * np.sqrt(behind.variance)


def configurations_margin(behind: Behind, spread: SeedVariance, *, counts: Values, best: NDArray[np.intp]) -> Values:
    """``(..., C)``, the same as a claim about configurations: had they drawn other seeds too.

    Args:
        behind: The differences.
        spread: Variance over seeds.
        counts: ``(..., C)``, seeds that each configuration's scores are the mean of.
        best: ``(...)``, index of the one that the others are compared with.
    """
    counts = np.maximum(counts, 1)
    of_best = np.take_along_axis(counts, best[..., None], -1)
    by_seeds = spread.variance[..., None] * (1 / counts + 1 / of_best)
    # Welch and Satterthwaite: how well the sum of the two variances is known
    parts = by_seeds**2 / np.maximum(spread.degrees, 1e-9)[..., None] + behind.variance**2 / max(behind.degrees, 1)
    total = by_seeds + behind.variance
    degrees = np.where(parts > 0, total**2 / np.maximum(parts, 1e-300), np.inf)
    return student_quantile(degrees) * np.sqrt(total)


def tied(behind: Behind, margin: Values) -> Flags:
    """``(..., C)``, which may be as good as the best or better; all of whom nothing is known."""
    return ~(behind.mean > margin)
