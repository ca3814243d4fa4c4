"""What a benchmark is: a definition in a job file, and the tasks it opens to."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from oplstm.configuration import Configuration
from oplstm.episodes.episode import Episode
from oplstm.episodes.measure import Measure
from oplstm.episodes.split import Split
from oplstm.episodes.task_shape import TaskShape
from oplstm.shape import Shape

Arrays = tuple[
    Annotated[NDArray[Any], Shape("tasks M *x")],
    Annotated[NDArray[Any], Shape("tasks M d_y")],
    Annotated[NDArray[Any], Shape("tasks Q *x")],
    Annotated[NDArray[Any], Shape("tasks Q d_y")],
]
"""Support inputs and targets, query inputs and targets of some tasks."""


class Tasks(Protocol):
    """A source of tasks: arrays drawn from a NumPy generator, made into inputs on the device."""

    def sample(self, rng: np.random.Generator, count: int, split: Split) -> Arrays:
        """Draw ``count`` tasks."""
        ...

    def gather(self, episode: Episode) -> Episode:
        """The episode with its inputs in place of whatever stands for them."""
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
