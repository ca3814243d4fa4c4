"""N-way k-shot classification of a user's own pictures, imported from any folder of class folders."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from oplstm.configuration import Problems
from oplstm.episodes.datasets.class_lists import DATASETS
from oplstm.episodes.datasets.own_folders import LARGEST_SIDE
from oplstm.episodes.images import ImageBenchmark
from oplstm.episodes.task_shape import TaskShape
from oplstm.errors import RequestError, shown
from oplstm.registry import NAME

if TYPE_CHECKING:  # it needs torch
    from oplstm.episodes.image_tasks import ImageTasks


@dataclass(frozen=True, kw_only=True)
class OwnImageTasks(ImageBenchmark):
    """Tasks of a dataset of one's own, imported with ``oplstm data import FOLDER --name DATASET``.

    Its size and colours stand here too, so that a run can be built where the pictures are not.

    Attributes:
        dataset: The name that it was imported under.
        size: Height and width that its images were imported with.
        grey: Whether they were imported as grey ones.
        cross_domain: Other datasets of one's own, of the same size and colours, on whose test classes a trained run is
            tested too.
    """

    dataset: str
    size: int = 84
    grey: bool = False

    name: ClassVar[str] = "images"

    @property
    def shape(self) -> TaskShape:
        """Images ``(channels, size, size)``, N outputs."""
        return TaskShape((1 if self.grey else 3, self.size, self.size), self.ways, "cross_entropy")

    def check(self, problems: Problems) -> None:
        """Record every impossible value; what the dataset has too little of is said when it is opened."""
        self._check_tasks(problems)
        if not 1 <= self.size <= LARGEST_SIDE:
            problems.add("size", f"must be 1 to {LARGEST_SIDE}, got {shown(self.size)}")
        for key, names in (("dataset", (self.dataset,)), ("cross_domain", self.cross_domain)):
            for name in names:
                if name in DATASETS:
                    problems.add(key, f"{name} is a benchmark of its own: benchmark: {{name: {name}}}")
                elif not NAME.fullmatch(name):
                    problems.add(key, f"must match {NAME.pattern}, got {shown(name)}")
                elif key == "cross_domain" and name == self.dataset:
                    problems.add(key, f"{name} is what the run is trained on")

    def open(self, data: Path | None) -> "ImageTasks":
        """The tasks of the imported dataset ``data/<dataset>``."""
        if data is None:
            raise RequestError(f"{self.dataset} needs the folder of imported datasets")
        from oplstm.episodes.image_tasks import ImageTasks, opened  # torch, which a definition does without

        dataset = opened(data / self.dataset)
        height, width, channels = dataset.pixels.shape[1:]
        if (channels, height, width) != self.shape.x:
            raise RequestError(
                f"{self.dataset} was imported with size: {height}, grey: {str(channels == 1).lower()}, and the "
                f"benchmark says size: {self.size}, grey: {str(self.grey).lower()}; let them agree"
            )
        return ImageTasks(self, dataset)

    def cross(self) -> dict[str, "ImageBenchmark"]:
        """The same tasks of each dataset of ``cross_domain``."""
        return {name: dataclasses.replace(self, dataset=name, cross_domain=()) for name in self.cross_domain}
