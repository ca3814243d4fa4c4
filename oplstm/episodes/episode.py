"""The episode: a support set to learn from and a query set to be judged on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from oplstm.shape import Shape


@dataclass(frozen=True)
class Episode:
    """B tasks of each of R runs; while tasks are grouped, the first axes are others.

    Attributes:
        support_x: Inputs of the shape ``TaskShape.x``. Image tasks that a stream drew hold the places of the images in
            their dataset instead, int64 and without axes x, until ``Tasks.gather``.
        support_y: Targets: values, or one-hot classes.
        query_x: As ``support_x``.
        query_y: As ``support_y``.
    """

    support_x: Annotated[Tensor, Shape("*axes M *x")]
    support_y: Annotated[Tensor, Shape("*axes M d_y")]
    query_x: Annotated[Tensor, Shape("*axes Q *x")]
    query_y: Annotated[Tensor, Shape("*axes Q d_y")]

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

    def of_runs(self, rows: Annotated[Tensor, Shape("rows")]) -> "Episode":
        """The tasks of some runs, by their places; tasks that all runs share, R = 1, stay as they are."""
        return self if len(self.support_y) == 1 else Episode(*(part[rows] for part in self.parts()))

    @property
    def task_count(self) -> int:
        """B."""
        return self.support_x.shape[1]


Batch = Annotated[Episode, Shape("R B")]
"""An episode whose R, B, M and Q are those of the call that it takes part in."""


def stack_runs(episodes: Sequence[Episode], axis: int = 0) -> Episode:
    """Episodes of some runs each, side by side; ``axis`` is the one of the runs."""
    return Episode(*(torch.cat(parts, axis) for parts in zip(*(e.parts() for e in episodes), strict=True)))
