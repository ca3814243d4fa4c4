"""Meta-batches of different sizes in one tensor: the tasks of every run in groups of one size."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.shape import Shape

MOST_PADDING = 1.1
"""Tasks computed for each task wanted, at most: larger groups repeat tasks, smaller ones the weights of their run."""


class TaskGroups:
    """The tasks of R runs as G groups of g tasks, those of a run one after the other.

    Where all meta-batches are equal, groups are runs. Where they are not, a run whose meta-batch g does not divide
    fills its last group with repeats of its own tasks, which weigh nothing.

    Args:
        sizes: Meta-batch size of each run.
        size: g; by default the largest that repeats few tasks.

    Attributes:
        sizes: As given.
        size: g.
        weights: Of each task in the training loss of its run, float64 ``(G, g)``: 1 / B, or 0 of a repeat.
    """

    def __init__(self, sizes: Sequence[int], size: int | None = None) -> None:
        self.sizes = list(sizes)
        fitting = (g for g in range(1, max(sizes) + 1) if self._padded(g) <= MOST_PADDING * sum(sizes))
        self.size = max(fitting) if size is None else size
        self._groups = [-(-size // self.size) for size in sizes]
        self._ragged = len(set(self._groups)) > 1 or self._groups[0] > 1
        tasks = [torch.arange(count * self.size) for count in self._groups]
        weights = [(task < size).double() / size for task, size in zip(tasks, sizes, strict=True)]
        self.weights = torch.cat(weights).view(-1, self.size)

    def _padded(self, group: int) -> int:
        return sum(-(-size // group) * group for size in self.sizes)

    def split(self, batches: Annotated[Episode, Shape("W B")]) -> Annotated[Episode, Shape("W n g")]:
        """Meta-batches of one run, each as its groups."""
        count = batches.task_count
        groups = -(-count // self.size)
        places = None if count == groups * self.size else torch.arange(groups * self.size) % count

        def grouped(part: Tensor) -> Tensor:
            part = part if places is None else part[:, places]
            return part.reshape(-1, groups, self.size, *part.shape[2:])

        return batches.mapped(grouped)

    def places(self, firsts: Sequence[int]) -> Annotated[Tensor, Shape("G g")]:
        """Which tasks stand in the groups, where those of all runs follow on each other.

        Args:
            firsts: The first task of each run.
        """
        runs = zip(firsts, self.sizes, self._groups, strict=True)
        own = [first + torch.arange(count * self.size) % size for first, size, count in runs]
        return torch.cat(own).view(-1, self.size)

    def repeat(self, values: Annotated[Tensor, Shape("R *rest")]) -> Annotated[Tensor, Shape("G *rest")]:
        """What belongs to runs, for each of their groups."""
        if not self._ragged:
            return values
        # not index_select, whose gradient adds in an order that a GPU does not keep
        rows = zip(values.unbind(0), self._groups, strict=True)
        return torch.cat([row.expand(count, *row.shape) for row, count in rows])

    def sum(self, values: Annotated[Tensor, Shape("G *rest")]) -> Annotated[Tensor, Shape("R *rest")]:
        """What groups have, added up for each run."""
        return torch.stack([part.sum(0) for part in values.split(self._groups)]) if self._ragged else values

    def per_group(self, values: Sequence[int]) -> list[int]:
        """One value a run as one a group."""
        return [value for value, count in zip(values, self._groups, strict=True) for _ in range(count)]
