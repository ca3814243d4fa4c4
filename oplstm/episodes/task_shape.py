"""What a learner must know of the tasks it is built for."""

import math
from dataclasses import dataclass
from typing import Literal

Loss = Literal["mse", "cross_entropy"]


@dataclass(frozen=True)
class TaskShape:
    """What a learner must know of the tasks it is built for.

    Attributes:
        x: Shape of one input: ``(d,)``, or ``(channels, height, width)`` of an image.
        d_y: Outputs: 1 for sine regression, N for N-way classification, whose targets are one-hot.
        loss: Of a query.
    """

    x: tuple[int, ...]
    d_y: int
    loss: Loss = "mse"

    @property
    def d_x(self) -> int:
        """Numbers in one input."""
        return math.prod(self.x)
