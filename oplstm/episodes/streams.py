"""Counter-based task streams: any task can be made again without the ones before it."""

import hashlib
from typing import Annotated

import numpy as np
import torch

from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.episode import Episode
from oplstm.episodes.split import Split
from oplstm.shape import Shape


class TaskStream:
    """The endless sequence of tasks of one run and split: a pure function of (seed, split, task index).

    Tasks are drawn in blocks of ``BLOCK``, one Philox counter a block, so drawing costs next to nothing a task.
    Task i does not depend on the meta-batch size that reads it.

    Args:
        tasks: The benchmark, opened.
        seed: Any integer in [0, 2^63).
        split: What the tasks are for.
        dtype: Floating type of the episodes.
    """

    BLOCK = 256

    def __init__(self, tasks: Tasks, seed: int, *, split: Split, dtype: torch.dtype = torch.float32) -> None:
        self._tasks, self._seed, self._split, self._dtype = tasks, seed, split, dtype
        self._held: tuple[int, Episode] | None = None

    def _block(self, index: int) -> Episode:
        if self._held is None or self._held[0] != index:
            bits = np.random.Philox(key=[self._seed, self._split], counter=[0, 0, index, 0])
            arrays = self._tasks.sample(np.random.Generator(bits), self.BLOCK, self._split)
            parts = (torch.from_numpy(array).unsqueeze(0) for array in arrays)
            self._held = index, Episode(*parts).to(torch.device("cpu"), self._dtype)
        return self._held[1]

    def tasks(self, start: int, count: int) -> Annotated[Episode, Shape("1 B")]:
        """Tasks ``start`` to ``start + count``, with R = 1."""
        parts = []
        while count > 0:
            block, offset = divmod(start, self.BLOCK)
            taken = min(count, self.BLOCK - offset)
            parts.append(self._block(block).tasks(offset, offset + taken))
            start, count = start + taken, count - taken
        if len(parts) == 1:
            return parts[0]
        names = ("support_x", "support_y", "query_x", "query_y")
        return Episode(*(torch.cat([getattr(part, name) for part in parts], dim=1) for name in names))

    def batch(self, index: int, size: int) -> Annotated[Episode, Shape("1 B")]:
        """The ``index``-th meta-batch of ``size`` tasks."""
        return self.tasks(index * size, size)

    def digest(self, count: int) -> str:
        """SHA-256 over the first ``count`` tasks, to the bit: equal digests mean equal tasks."""
        sha = hashlib.sha256()
        block = self.tasks(0, count)
        for part in (block.support_x, block.support_y, block.query_x, block.query_y):
            sha.update(part.contiguous().numpy().tobytes())
        return sha.hexdigest()
