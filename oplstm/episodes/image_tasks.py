"""Tasks of an imported dataset: places of images, drawn on the CPU, and their pixels, gathered on the device."""

import functools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oplstm.episodes.benchmark import Arrays
from oplstm.episodes.datasets.class_lists import DATASETS, SPLITS, split_digest
from oplstm.episodes.datasets.store import ImageDataset, open_dataset
from oplstm.episodes.episode import Episode
from oplstm.episodes.split import Split
from oplstm.errors import RequestError
from oplstm.shape import Shape

if TYPE_CHECKING:  # it opens these tasks
    from oplstm.episodes.images import ImageBenchmark


@functools.lru_cache(maxsize=8)
def opened(folder: Path) -> ImageDataset:
    """The dataset in ``folder``, opened once a process."""
    return open_dataset(folder)


@functools.lru_cache(maxsize=4)
def resident(dataset: ImageDataset, device: torch.device, turns: int) -> Annotated[Tensor, Shape("_ h w c")]:
    """All pixels on a GPU, once a process, and after them those of each quarter turn, as places are counted."""
    pixels = torch.from_numpy(np.array(dataset.pixels)).to(device)
    return torch.cat([pixels.rot90(turn, (1, 2)) for turn in range(turns)])


@functools.lru_cache(maxsize=8)
def on_disk(dataset: ImageDataset) -> Annotated[Tensor, Shape("_ h w c")]:
    """All pixels where they lie, in a file that is mapped and that nobody writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(dataset.pixels)


class ImageTasks:
    """Tasks of an imported dataset.

    Args:
        benchmark: Their definition.
        dataset: The images.

    Raises:
        RequestError: The dataset, of which parts may be absent, has too few classes or images for them.
    """

    def __init__(self, benchmark: "ImageBenchmark", dataset: ImageDataset) -> None:
        self.benchmark, self.dataset = benchmark, dataset
        self._starts, self._sizes = dataset.class_starts[:-1], np.diff(dataset.class_starts)
        self._turns = benchmark.turns
        whole = "the whole dataset" if dataset.name in DATASETS else "more of it"
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
                        f"{wanted}; ask for smaller tasks or import {whole}"
                    )

    def sample(self, rng: np.random.Generator, count: int, split: Split) -> Arrays:
        """Draw ``count`` tasks.

        Labels, classes and query images are drawn before support images, so tasks that differ in ``shots`` alone
        share them: comparisons over k are paired.

        Returns:
            Places of the support images in the dataset, int64, class after class, and their one-hot labels; the same
            for the queries. Beyond the number of images, places mean quarter turns of them.
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
        """The episode with its images, in [0, 1], channels first."""
        support, query = (self._images(x, episode.support_y.dtype) for x in (episode.support_x, episode.query_x))
        return Episode(support, episode.support_y, query, episode.query_y)

    def _images(
        self, places: Annotated[Tensor, Shape("R B M")], dtype: torch.dtype
    ) -> Annotated[Tensor, Shape("R B M c h w")]:
        there = self._turned(places) if places.is_cpu else resident(self.dataset, places.device, self._turns)[places]
        images = there.movedim(-1, -3).to(dtype, memory_format=torch.contiguous_format).div_(255)
        return images.neg_().add_(1) if self.benchmark.inverted else images

    def _turned(self, places: Annotated[Tensor, Shape("R B M")]) -> Annotated[Tensor, Shape("R B M h w c")]:
        """The pixels at ``places``, from the disk."""
        turns, places = places // len(self.dataset.pixels), places % len(self.dataset.pixels)
        pixels: Tensor = on_disk(self.dataset).index_select(0, places.flatten()).unflatten(0, places.shape)
        for turn in range(1, self._turns):
            chosen = (turns == turn)[..., None, None, None]
            pixels = torch.where(chosen, pixels.rot90(turn, (-3, -2)), pixels)
        return pixels

    def partial_title(self) -> str | None:
        """Such as "CUB, first 50 classes"; None for a whole dataset."""
        return str(self.dataset.description["title"]) if self.dataset.partial else None

    def digests(self) -> dict[str, str]:
        """Of the dataset, and of the classes of its splits."""
        names = self.dataset.class_names
        split = {part: [names[index] for index in self.dataset.splits[part]] for part in SPLITS}
        return {"dataset": self.dataset.digest, "split": split_digest(split)}


def _drawn(
    rng: np.random.Generator, sizes: Annotated[NDArray[np.int64], Shape("*rest")], count: int
) -> Annotated[NDArray[np.int64], Shape("*rest _")]:
    """``count`` of ``sizes`` numbers without replacement, in the order of their drawing.

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
