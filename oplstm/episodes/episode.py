"""The episode: a support set to learn from and a query set to be judged on."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

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


@dataclass(frozen=True)
class Episode:
    """B tasks of each of R runs.

    Attributes:
        support_x: ``(R, B, M, *x)``, inputs of the shape ``TaskShape.x``. Image tasks that a stream drew hold the
            places of the images in their dataset instead, int64 ``(R, B, M)``, until ``Tasks.gather``.
        support_y: ``(R, B, M, d_y)``.
        query_x: ``(R, B, Q, *x)``, as ``support_x``.
        query_y: ``(R, B, Q, d_y)``.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor

    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four, in the order of the attributes."""
        return self.support_x, self.support_y, self.query_x, self.query_y

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Episode":
        """The episode of its parts after ``change``."""
        return Episode(*(change(part) for part in self.parts()))

    def to(self, device: torch.device, dtype: torch.dtype) -> "Episode":
        """The same tasks on another device and in another precision; places of images stay whole numbers."""
        parts = (part.to(device, dtype if part.is_floating_point() else part.dtype) for part in self.parts())
        return Episode(*parts)

    def expand(self, runs: int) -> "Episode":
        """The same tasks, R = 1, shown to ``runs`` runs without copying."""
        return Episode(*(part.expand(runs, *part.shape[1:]) for part in self.parts()))

    def tasks(self, start: int, stop: int) -> "Episode":
        """Tasks ``start`` to ``stop`` of every run."""
        return Episode(*(part[:, start:stop] for part in self.parts()))

    def runs(self, start: int, stop: int) -> "Episode":
        """Runs ``start`` to ``stop``."""
        return Episode(*(part[start:stop] for part in self.parts()))

    def of_runs(self, rows: Tensor) -> "Episode":
        """The tasks of some runs, by their places ``(n,)``; tasks that all runs share, R = 1, stay as they are."""
        return self if len(self.support_y) == 1 else Episode(*(part[rows] for part in self.parts()))

    @property
    def task_count(self) -> int:
        """B."""
        return self.support_x.shape[1]


def stack_runs(episodes: Sequence[Episode], axis: int = 0) -> Episode:
    """Episodes of some runs each, side by side; ``axis`` is the one of the runs."""
    return Episode(*(torch.cat(parts, axis) for parts in zip(*(e.parts() for e in episodes), strict=True)))
