"""The meta-batches of a pack's coming updates, kept on its device so that an update waits for no host."""

from collections.abc import Sequence
from typing import Annotated

import torch

from oplstm.episodes.episode import Episode, stack_runs
from oplstm.episodes.streams import TaskStream
from oplstm.shape import Shape
from oplstm.training.update.task_groups import TaskGroups


class TaskFeed:
    """A window of meta-batches: about as many as one block of a stream holds, drawn and sent to the device at once.

    Args:
        streams: Of the training tasks of each run.
        groups: How their tasks lie side by side.
        device: Where the window lies.

    Attributes:
        length: Updates that a window lasts.
    """

    def __init__(self, streams: Sequence[TaskStream], groups: TaskGroups, device: torch.device) -> None:
        self._streams, self._groups, self._device = streams, groups, device
        self.length = max(1, TaskStream.BLOCK // max(groups.sizes))
        self._start = 0
        self._window: Episode | None = None
        self._place = torch.zeros(1, dtype=torch.int64, device=device)

    def prepare(self, update: int, updates: Sequence[int]) -> None:
        """See that the window holds the meta-batches of the pack's ``update``, which are ``updates`` of its runs."""
        if self._window is None or update >= self._start + self.length:
            self._fill(updates)
            self._start = update

    def _fill(self, updates: Sequence[int]) -> None:
        runs = zip(self._streams, updates, self._groups.sizes, strict=True)
        drawn = stack_runs([self._of_run(stream, update, size) for stream, update, size in runs], axis=1)
        if self._device.type == "cuda":
            drawn = drawn.mapped(lambda part: part.pin_memory())
        if self._window is None:
            self._window = drawn.mapped(lambda part: part.to(self._device, non_blocking=True))
        else:  # in place, where a captured update finds it
            for there, part in zip(self._window.parts(), drawn.parts(), strict=True):
                there.copy_(part, non_blocking=True)
        self._place.zero_()

    def _of_run(self, stream: TaskStream, update: int, size: int) -> Annotated[Episode, Shape("W n g")]:
        """The window of one run."""
        tasks = stream.tasks(update * size, self.length * size)
        return self._groups.split(tasks.mapped(lambda part: part.view(self.length, size, *part.shape[2:])))

    def batch(self) -> Annotated[Episode, Shape("G g")]:
        """The coming meta-batches, their images yet to be gathered."""
        if self._window is None:
            raise RuntimeError("prepare comes before batch")
        return self._window.mapped(lambda part: part.index_select(0, self._place)[0])

    def take(self) -> Annotated[Episode, Shape("G g")]:
        """``batch``, and move on to the next; work of the device alone."""
        batch = self.batch()
        self._place += 1
        return batch
