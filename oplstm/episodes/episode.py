"""The episode: a support set to learn from and a query set to be judged on."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """B tasks of each of R runs.

    Attributes:
        support_x: ``(R, B, M, d_x)``.
        support_y: ``(R, B, M, d_y)``.
        query_x: ``(R, B, Q, d_x)``.
        query_y: ``(R, B, Q, d_y)``.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.support_x, self.support_y, self.query_x, self.query_y

    def to(self, device: torch.device, dtype: torch.dtype) -> "Episode":
        """The same tasks on another device and in another precision."""
        return Episode(*(part.to(device, dtype) for part in self._parts()))

    def expand(self, runs: int) -> "Episode":
        """The same tasks, R = 1, shown to ``runs`` runs without copying."""
        return Episode(*(part.expand(runs, *part.shape[1:]) for part in self._parts()))

    def tasks(self, start: int, stop: int) -> "Episode":
        """Tasks ``start`` to ``stop`` of every run."""
        return Episode(*(part[:, start:stop] for part in self._parts()))

    @property
    def task_count(self) -> int:
        """B."""
        return self.support_x.shape[1]


def stack_runs(episodes: list[Episode]) -> Episode:
    """R episodes with R = 1 each, side by side."""
    return Episode(*(torch.cat(parts) for parts in zip(*(e._parts() for e in episodes), strict=True)))
