"""What a benchmark is: a definition in a job file, and the tasks it opens to."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from oplstm.configuration import Configuration
from oplstm.episodes.episode import Episode, TaskShape
from oplstm.episodes.measure import Measure
from oplstm.episodes.split import Split


class Tasks(Protocol):
    """A source of tasks: arrays drawn from a NumPy generator, made into inputs on the device."""

    def sample(self, rng: np.random.Generator, count: int, split: Split) -> tuple[NDArray[Any], ...]:
        """Support inputs and targets, query inputs and targets of ``count`` tasks, each array ``(count, ...)``."""
        ...

    def gather(self, episode: Episode) -> Episode:
        """The episode with its inputs ``(R, B, M, *x)`` in place of whatever stands for them."""
        ...

    def partial_title(self) -> str | None:
        """What the dataset is called where classes of it are absent; every result on it says so."""
        ...

    def digests(self) -> dict[str, str]:
        """Digests of the data behind the tasks, by name; {} where there are none."""
        ...


class Benchmark(Configuration, Protocol):
    """The definition of a benchmark: a frozen dataclass that can be built from a job file."""

    name: ClassVar[str]
    measure: ClassVar[Measure]

    @property
    def shape(self) -> TaskShape:
        """Of the tasks that learners are built for."""
        ...

    def open(self, data: Path | None) -> Tasks:
        """The tasks.

        Args:
            data: The folder of imported datasets; None where there is none.

        Raises:
            RequestError: The data are not there.
        """
        ...

    def cross(self) -> dict[str, Self]:
        """Benchmarks of other domains that a trained run is tested on too, by name."""
        ...

    def digest(self) -> str:
        """SHA-256 over the definition."""
        ...
