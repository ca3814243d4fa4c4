"""What runs are compared by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Measure:
    """What runs of a benchmark are compared by.

    Attributes:
        name: As in the metric ``val/<name>``.
        higher_is_better: Whether more is better.
    """

    name: Literal["loss", "accuracy"]
    higher_is_better: bool

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna says it."""
        return "maximize" if self.higher_is_better else "minimize"

    @property
    def worst(self) -> float:
        """What any value is better than."""
        return -float("inf") if self.higher_is_better else float("inf")

    def cost(self, value: float) -> float:
        """``value`` such that less is better."""
        return -value if self.higher_is_better else value


LOSS = Measure("loss", higher_is_better=False)
ACCURACY = Measure("accuracy", higher_is_better=True)
MEASURES: Final[Mapping[str, Measure]] = {measure.name: measure for measure in (LOSS, ACCURACY)}
