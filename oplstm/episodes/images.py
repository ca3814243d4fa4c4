"""N-way k-shot classification of images (Sections 5.1 and 5.3): Omniglot, miniImageNet and CUB."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from oplstm.configuration import Problems, positive, unknown_key
from oplstm.episodes.datasets.class_lists import ClassList, class_list
from oplstm.episodes.measure import ACCURACY, Measure
from oplstm.episodes.split import Split
from oplstm.episodes.task_shape import TaskShape
from oplstm.errors import RequestError

if TYPE_CHECKING:  # it needs torch
    from oplstm.episodes.image_tasks import ImageTasks

QUARTER_TURNS = 4
DRAWING = 2
"""How ``sample`` draws, counted up with every change: the same seeds mean other tasks then."""


@dataclass(frozen=True, kw_only=True)
class ImageBenchmark:
    """Tasks of one dataset: classes and images without replacement, labels permuted for each task.

    Attributes:
        ways: N, classes a task.
        shots: k, support images a class.
        queries: Query images a class.
        test_queries: Query images a class at meta-test: as many as ``queries`` (paper), or as ``shots`` (authors).
        train_ways: N in meta-training where it differs; for learners whose weights do not depend on N.
        train_shots: k in meta-training where it differs.
        cross_domain: Other datasets on whose test classes a trained run is tested too (Section 5.3).
    """

    ways: int = 5
    shots: int = 1
    queries: int = 15
    test_queries: Literal["queries", "shots"] = "queries"
    train_ways: int | None = None
    train_shots: int | None = None
    cross_domain: tuple[str, ...] = ()

    name: ClassVar[str]
    measure: ClassVar[Measure] = ACCURACY
    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "authors": {"test_queries": "shots"}}

    @property
    def rotated(self) -> bool:
        """Whether images turned by 90, 180 and 270 degrees make classes of their own."""
        return False

    @property
    def turns(self) -> int:
        """Classes that the images of one class make."""
        return QUARTER_TURNS if self.rotated else 1

    @property
    def inverted(self) -> bool:
        """Whether pixels are 1 - x."""
        return False

    @property
    def listed(self) -> ClassList:
        """What the whole dataset holds."""
        return class_list(self.name)

    @property
    def shape(self) -> TaskShape:
        """Images ``(channels, height, width)``, N outputs."""
        return TaskShape((self.listed.channels, *self.listed.size), self.ways, "cross_entropy")

    def ways_of(self, split: Split) -> int:
        """N of the tasks of a split."""
        return (self.train_ways if split.classes == "train" else None) or self.ways

    def shots_of(self, split: Split) -> int:
        """K of the tasks of a split."""
        return (self.train_shots if split.classes == "train" else None) or self.shots

    def queries_of(self, split: Split) -> int:
        """Query images a class of the tasks of a split."""
        return self.shots if split.classes == "test" and self.test_queries == "shots" else self.queries

    def check(self, problems: Problems) -> None:
        """Record every impossible value, and every task that the whole dataset could not make."""
        before = len(problems.found)
        self._check_tasks(problems)
        for other in self.cross_domain:
            if other not in IMAGE_BENCHMARKS or other == self.name:
                others = [name for name in IMAGE_BENCHMARKS if name != self.name]
                problems.add("cross_domain", unknown_key(other, others))
            elif IMAGE_BENCHMARKS[other]().shape.x != self.shape.x:
                problems.add("cross_domain", f"{other} has images of another shape than {self.name}")
        if len(problems.found) == before:
            self._check_sizes(problems)

    def _check_tasks(self, problems: Problems) -> None:
        """Record what no task can have, whatever the dataset."""
        positive(problems, self, "shots", "queries", "train_shots")
        for key in ("ways", "train_ways"):
            value = getattr(self, key)
            if value is not None and value < 2:
                problems.add(key, f"must be >= 2, got {value}")

    def _check_sizes(self, problems: Problems) -> None:
        for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
            classes = [listed for listed in self.listed.classes if listed.split == split.classes]
            there, images = self.turns * len(classes), min(len(listed.images) for listed in classes)
            train = split.classes == "train"
            key = "train_ways" if train and self.train_ways else "ways"
            if self.ways_of(split) > there and not problems.has(key):
                problems.add(key, f"must be <= {there}, the {split.classes} classes of {self.listed.title}, "
                                  f"got {self.ways_of(split)}")  # fmt: skip
            key = "train_shots" if train and self.train_shots else "shots"
            if (wanted := self.shots_of(split) + self.queries_of(split)) > images and not problems.has(key):
                problems.add(key, f"shots and queries together must be <= {images}, the images of the smallest "
                                  f"{split.classes} class of {self.listed.title}, got {wanted}")  # fmt: skip

    def open(self, data: Path | None) -> "ImageTasks":
        """The tasks of the imported dataset ``data/<name>``."""
        if data is None:
            raise RequestError(f"{self.name} needs the folder of imported datasets")
        from oplstm.episodes.image_tasks import ImageTasks, opened  # torch, which a definition does without

        return ImageTasks(self, opened(data / self.name))

    def cross(self) -> dict[str, "ImageBenchmark"]:
        """The same tasks, with ``queries`` queries, of each dataset of ``cross_domain``."""
        return {
            name: IMAGE_BENCHMARKS[name](ways=self.ways, shots=self.shots, queries=self.queries)
            for name in self.cross_domain
        }

    def digest(self) -> str:
        """SHA-256 over the definition of the benchmark."""
        definition = {"benchmark": self.name, "drawing": DRAWING, **dataclasses.asdict(self)}
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class OmniglotTasks(ImageBenchmark):
    """Handwritten characters, 28 x 28, black on white as the authors have them.

    Attributes:
        rotations: Turned characters are classes of their own, as in Snell et al. (2017).
        inversion: White on black.
    """

    rotations: bool = False
    inversion: bool = False

    name: ClassVar[str] = "omniglot"

    @property
    def rotated(self) -> bool:
        """See ``rotations``."""
        return self.rotations

    @property
    def inverted(self) -> bool:
        """See ``inversion``."""
        return self.inversion


@dataclass(frozen=True, kw_only=True)
class MiniImageNetTasks(ImageBenchmark):
    """miniImageNet, 84 x 84, in the split of Ravi & Larochelle (2017)."""

    name: ClassVar[str] = "miniimagenet"


@dataclass(frozen=True, kw_only=True)
class CUBTasks(ImageBenchmark):
    """CUB-200-2011, 84 x 84, in the split of Chen et al. (2019)."""

    name: ClassVar[str] = "cub"


IMAGE_BENCHMARKS: dict[str, type[ImageBenchmark]] = {
    cls.name: cls for cls in (OmniglotTasks, MiniImageNetTasks, CUBTasks)
}
