"""The scale on which seeds of one configuration are compared with those of another."""

from dataclasses import dataclass, replace

import numpy as np

from jobs.promotion.seeds import Block
from jobs.store.intervals import Interval, Values
from oplstm.episodes.measure import LOSS, Measure

_FAR = 300.0
"""Of logarithms; the square of e to the power of it is a number yet."""


@dataclass(frozen=True)
class Scale:
    """Costs as they are, or their logarithms.

    Seeds change a loss by a factor: those of a configuration that is ten times worse lie ten times as far apart, and
    one of them may end a thousand times above the others. What leaders teach each other (variance over seeds, luck,
    the forecast) is therefore of logarithms where a measure is a loss.

    Attributes:
        logs: Whether it is of logarithms.
    """

    logs: bool

    @classmethod
    def of(cls, costs: Values, measure: Measure) -> "Scale":
        """That of these costs, of any shape; a loss that is not above 0 has no logarithm."""
        return cls(measure == LOSS and bool((costs.mean(-1)[np.isfinite(costs.mean(-1))] > 0).all()))

    def block(self, costs: Values) -> Block:
        """What seeds teach; those without a finite score teach nothing: ``(..., C, S, tasks)``."""
        means = costs.mean(-1, keepdims=True)
        means = np.where(np.isfinite(means), means, np.nan)
        if not self.logs:
            return Block.of(np.where(np.isnan(means), np.nan, costs))
        # to first order the logarithm of a mean varies as the mean does, relative to itself
        relative = Block.of(np.where(np.isnan(means), np.nan, costs) / means)
        return replace(relative, means=np.log(means[..., 0]))

    def variance_of_costs(self, value: float) -> float:
        """What a variance of 1 about this value is worth as one of costs."""
        return float(np.exp(np.clip(2 * value, -_FAR, _FAR))) if self.logs else 1.0

    def interval(self, mean: float, half_width: float, measure: Measure) -> Interval:
        """An interval in values of the measure; of logarithms that which holds it, about the same middle."""
        if not self.logs:
            return Interval(measure.cost(1.0) * mean, half_width)
        with np.errstate(over="ignore"):
            return Interval(float(np.exp(mean)), float(np.exp(mean) * np.expm1(half_width)))
