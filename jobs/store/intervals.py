"""Means with their 95% intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import StrictFloat

Values = NDArray[np.float64]

NORMAL_QUANTILE = 1.959963984540054  # of 0.975


@dataclass(frozen=True, slots=True)
class StatedInterval:
    """An interval as plain data: None where a number is not finite, which JSON does not know."""

    mean: StrictFloat | None
    half_width: StrictFloat | None


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its 95% confidence interval; nan where one value gives none."""

    mean: float
    half_width: float

    @classmethod
    def of(cls, values: Values | Sequence[float], *, over: Literal["tasks", "seeds", "differences"]) -> "Interval":
        """Of the mean of ``values``, one number each.

        Args:
            values: ``(n,)``.
            over: ``tasks`` takes the normal distribution, as the paper does for test tasks pooled over seeds; the
                means of ``seeds`` and the paired ``differences`` over common tasks take Student's t, n - 1.
        """
        array = np.asarray(values, dtype=np.float64)
        if array.size < 2:
            return cls(float(array.mean()), math.nan)
        quantile = NORMAL_QUANTILE if over == "tasks" else float(student_quantile(np.array([array.size - 1.0]))[0])
        return cls(float(array.mean()), float(quantile * array.std(ddof=1) / math.sqrt(array.size)))

    def stated(self) -> StatedInterval:
        """As plain data."""
        return StatedInterval(*(number if math.isfinite(number) else None for number in (self.mean, self.half_width)))


def student_quantile(degrees: Values) -> Values:
    """Of 0.975, of Student's t with these degrees of freedom; any shape."""
    from scipy import special  # takes a while to import, which a sweep's status is read without

    found: Values = np.asarray(special.stdtrit(degrees, 0.975))
    return found
