"""N-way k-shot classification of images (Sections 5.1 and 5.3): Omniglot, miniImageNet and CUB."""

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oplstm.configuration import Problems, positive, unknown_key
from oplstm.episodes.datasets.class_lists import SPLITS, ClassList, class_list
from oplstm.episodes.datasets.store import ImageDataset, open_dataset
from oplstm.episodes.episode import Episode, TaskShape
from oplstm.episodes.measure import ACCURACY, Measure
from oplstm.episodes.split import Split
from oplstm.errors import RequestError

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
        positive(problems, self, "shots", "queries", "train_shots")
        for key in ("ways", "train_ways"):
            value = getattr(self, key)
            if value is not None and value < 2:
                problems.add(key, f"must be >= 2, got {value}")
        for other in self.cross_domain:
            if other not in IMAGE_BENCHMARKS or other == self.name:
                others = [name for name in IMAGE_BENCHMARKS if name != self.name]
                problems.add("cross_domain", unknown_key(other, others))
            elif IMAGE_BENCHMARKS[other]().shape.x != self.shape.x:
                problems.add("cross_domain", f"{other} has images of another shape than {self.name}")
        if len(problems.found) == before:
            self._check_sizes(problems)

    def _check_sizes(self, problems: Problems) -> None:
        turns = QUARTER_TURNS if self.rotated else 1
        for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
            classes = [listed for listed in self.listed.classes if listed.split == split.classes]
            there, images = turns * len(classes), min(len(listed.images) for listed in classes)
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
        return ImageTasks(self, _opened(data / self.name))

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


@functools.lru_cache(maxsize=8)
def _opened(folder: Path) -> ImageDataset:
    return open_dataset(folder)


@functools.lru_cache(maxsize=4)
def resident(dataset: ImageDataset, device: torch.device, turns: int) -> Tensor:
    """All pixels on a GPU, once a process: ``(turns * images, height, width, channels)``, as places are counted."""
    pixels = torch.from_numpy(np.array(dataset.pixels)).to(device)
    return torch.cat([pixels.rot90(turn, (1, 2)) for turn in range(turns)])


class ImageTasks:
    """Tasks of an imported dataset.

    Args:
        benchmark: Their definition.
        dataset: The images.

    Raises:
        RequestError: The dataset, of which parts may be absent, has too few classes or images for them.
    """

    def __init__(self, benchmark: ImageBenchmark, dataset: ImageDataset) -> None:
        self.benchmark, self.dataset = benchmark, dataset
        self._starts, self._sizes = dataset.class_starts[:-1], np.diff(dataset.class_starts)
        self._turns = QUARTER_TURNS if benchmark.rotated else 1
        for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
            classes = dataset.splits[split.classes]
            images = int(self._sizes[list(classes)].min(initial=np.iinfo(np.int64).max))
            for there, wanted, what in (
                (len(classes) * self._turns, benchmark.ways_of(split), "classes"),
                (images, benchmark.shots_of(split) + benchmark.queries_of(split), "images in a class"),
            ):
                if there < wanted:
                    raise RequestError(
                        f"{dataset.description['title']} has {there} {split.classes} {what}, too few for tasks of "
                        f"{wanted}; ask for smaller tasks or import the whole dataset"
                    )

    def sample(self, rng: np.random.Generator, count: int, split: Split) -> tuple[NDArray[Any], ...]:
        """Draw ``count`` tasks.

        Labels, classes and query images are drawn before support images, so tasks that differ in ``shots`` alone
        share them: comparisons over k are paired.

        Returns:
            Places of the support images in the dataset, int64 ``(count, N * k)``, class after class; their one-hot
            labels ``(count, N * k, N)``; the same for the queries, ``(count, N * q)`` and ``(count, N * q, N)``. Beyond
            the number of images, places mean quarter turns of them.
        """
        ways, shots = self.benchmark.ways_of(split), self.benchmark.shots_of(split)
        queries = self.benchmark.queries_of(split)
        labels = rng.permuted(np.broadcast_to(np.arange(ways), (count, ways)), axis=1)
        members = np.asarray(self.dataset.splits[split.classes], dtype=np.int64)
        turns, classes = np.divmod(_drawn(rng, np.full(count, len(members) * self._turns), ways), len(members))
        classes = members[classes]
        images = _drawn(rng, self._sizes[classes], queries + shots)
        places = images + self._starts[classes][..., None] + (turns * len(self.dataset.pixels))[..., None]
        one_hot = np.eye(ways)[labels]

        def part(chosen: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
            each = chosen.shape[2]
            return chosen.reshape(count, ways * each), np.repeat(one_hot, each, axis=1)

        return (*part(places[..., queries:]), *part(places[..., :queries]))

    def gather(self, episode: Episode) -> Episode:
        """The episode with its images: ``(R, B, M, channels, height, width)``, in [0, 1]."""
        support, query = (self._images(x, episode.support_y.dtype) for x in (episode.support_x, episode.query_x))
        return Episode(support, episode.support_y, query, episode.query_y)

    def _images(self, places: Tensor, dtype: torch.dtype) -> Tensor:
        there = self._turned(places) if places.is_cpu else resident(self.dataset, places.device, self._turns)[places]
        images = there.movedim(-1, -3).to(dtype, memory_format=torch.contiguous_format).div_(255)
        return images.neg_().add_(1) if self.benchmark.inverted else images

    def _turned(self, places: Tensor) -> Tensor:
        """The pixels at ``places``, from the disk."""
        turns, places = places // len(self.dataset.pixels), places % len(self.dataset.pixels)
        pixels = torch.from_numpy(self.dataset.pixels[places.numpy()])
        for turn in range(1, self._turns):
            chosen = turns == turn
            pixels[chosen] = pixels[chosen].rot90(turn, (1, 2))
        return pixels

    def partial_title(self) -> str | None:
        """Such as "CUB, first 50 classes"; None for a whole dataset."""
        return str(self.dataset.description["title"]) if self.dataset.partial else None

    def digests(self) -> dict[str, str]:
        """Of the dataset, and of the classes of its splits."""
        names = self.dataset.class_names
        split = {part: [names[index] for index in self.dataset.splits[part]] for part in SPLITS}
        split_digest = hashlib.sha256(json.dumps(split, sort_keys=True).encode()).hexdigest()
        return {"dataset": self.dataset.digest, "split": split_digest}


def _drawn(rng: np.random.Generator, sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """``count`` of ``sizes (...)`` numbers without replacement, in the order of their drawing: ``(..., count)``.

    Each round draws one of the numbers that are left, as its place among them; the numbers drawn before it are stepped
    over. So the time does not depend on ``sizes``, and the first numbers do not depend on ``count``.
    """
    chosen = np.empty((*sizes.shape, count), dtype=np.int64)
    for draw in range(count):
        number = rng.integers(0, sizes - draw)
        for earlier in np.moveaxis(np.sort(chosen[..., :draw], axis=-1), -1, 0):
            number += number >= earlier
        chosen[..., draw] = number
    return chosen
