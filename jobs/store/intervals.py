"""The statistics of promotion and of final results (scipy)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its 95% confidence interval; nan where one value gives none."""

    mean: float
    half_width: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain data for JSON, which knows no nan."""
        return {name: value if math.isfinite(value) else None for name, value in self.__dict__.items()}


def mean_over_tasks(values: Values) -> Interval:
    """Mean and normal interval over tasks, as the paper reports it (pooled over seeds)."""
    if values.size < 2:
        return Interval(float(values.mean()), math.nan)
    half_width = stats.norm.ppf(0.975) * values.std(ddof=1) / math.sqrt(values.size)
    return Interval(float(values.mean()), float(half_width))


def mean_over_seeds(means: Sequence[float]) -> Interval:
    """Mean and Student-t interval over the means of the seeds."""
    values = np.asarray(means, dtype=np.float64)
    if values.size < 2:
        return Interval(float(values.mean()), math.nan)
    half_width = stats.t.ppf(0.975, values.size - 1) * values.std(ddof=1) / math.sqrt(values.size)
    return Interval(float(values.mean()), float(half_width))


def paired_difference(values: Values, reference: Values) -> Interval:
    """Mean of ``values - reference`` over common tasks, with its Student-t interval."""
    difference = values - reference
    if difference.size < 2:
        return Interval(float(difference.mean()), math.nan)
    half_width = stats.t.ppf(0.975, difference.size - 1) * difference.std(ddof=1) / math.sqrt(difference.size)
    return Interval(float(difference.mean()), float(half_width))
