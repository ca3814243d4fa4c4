"""What a dataset must hold: its classes, their split and the name of every image. The lists ship as package data."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np

from oplstm.configuration import unknown_key
from oplstm.errors import RequestError

SPLITS = ("train", "val", "test")
VERSION = 1


@dataclass(frozen=True)
class ListedClass:
    """A class of a dataset.

    Attributes:
        name: As the dataset names it: the folder, or folders, that hold its images.
        split: ``train``, ``val`` or ``test``.
        images: File names without suffix, sorted; no two classes of a dataset share one.
    """

    name: str
    split: str
    images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ClassList:
    """A dataset as it must be found and as it is stored.

    Attributes:
        name: As in a command: ``omniglot``.
        title: As in a table.
        size: Height and width of the stored images.
        grey: One channel, otherwise three.
        suffixes: Of the image files, in small letters.
        formats: Pillow's names of the formats that are decoded.
        sides: Smallest and largest height and width of an image before it is resized.
        nested: Pictures lie in folders named for their class; otherwise they may also lie all in one folder.
        numbered: The class names begin with their number.
        drops_strays: Picture files that are not listed are left out; otherwise those of a listed class are refused.
        archives: File names of archives that are read where a folder holds them.
        ignored: Folders that repeat some images.
        own: A user's own pictures, as they come: upright as the camera says, and white where they are transparent.
        about: What the description says: source, licence, split and what an episode may do with the images.
        classes: Train, validation and test classes, each sorted by name: the order in which they are stored.
    """

    name: str
    title: str
    size: tuple[int, int]
    grey: bool
    suffixes: tuple[str, ...]
    formats: tuple[str, ...]
    sides: tuple[int, int]
    nested: bool = True
    numbered: bool = False
    drops_strays: bool = False
    archives: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    own: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[ListedClass, ...]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.grey else 3

    @cached_property
    def class_names(self) -> frozenset[str]:
        """The names of the classes."""
        return frozenset(listed.name for listed in self.classes)

    @cached_property
    def split_digest(self) -> str:
        """Of the whole dataset's split, as a dataset that was imported whole has it."""
        return split_digest({part: [c.name for c in self.classes if c.split == part] for part in SPLITS})

    def title_of(self, present: tuple[ListedClass, ...]) -> str:
        """The name to show for a dataset with these classes; it says so when some are absent."""
        if len(present) == len(self.classes):
            return self.title
        first = sorted(self.classes, key=lambda listed: listed.name)[: len(present)]
        if self.numbered and set(first) == set(present):
            return f"{self.title.partition('-')[0]}, first {len(present)} classes"
        return f"{self.title.partition('-')[0]}, {len(present)} of {len(self.classes)} classes"


def split_digest(names: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 of which classes are in ``train``, ``val`` and ``test``, in the order in which they are stored."""
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()


def _in_order(classes: Iterator[ListedClass]) -> tuple[ListedClass, ...]:
    return tuple(sorted(classes, key=lambda listed: (SPLITS.index(listed.split), listed.name)))


def _shipped(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((files(__package__) / "lists" / f"{name}.json").read_text("utf-8"))
    if data["version"] != VERSION:
        raise RuntimeError(f"lists/{name}.json has format version {data['version']}, wanted {VERSION}")
    return data


def _omniglot() -> ClassList:
    data = _shipped("omniglot")

    def classes() -> Iterator[ListedClass]:
        for alphabet, entry in data["alphabets"].items():
            for split in SPLITS:
                first, last = entry.get(split, (1, 0))
                for character in range(first, last + 1):
                    number = entry["first"] + character - 1
                    images = tuple(f"{number:04d}_{drawing:02d}" for drawing in range(1, 21))
                    yield ListedClass(f"{alphabet}/character{character:02d}", split, images)

    return ClassList(
        name="omniglot",
        title="Omniglot",
        size=(28, 28),
        grey=True,
        suffixes=(".png",),
        formats=("PNG",),
        sides=(105, 105),
        archives=("images_background.zip", "images_evaluation.zip"),
        ignored=("images_background_small1", "images_background_small2"),
        about={
            "source": "Lake et al. (2015), https://github.com/brendenlake/omniglot",
            "licence": "MIT",
            "split": data["source"],
            "background": 255,
            "rotations": [0, 90, 180, 270],
            "inversion": True,
        },
        classes=_in_order(classes()),
    )


def _miniimagenet() -> ClassList:
    data = _shipped("miniimagenet")

    def classes() -> Iterator[ListedClass]:
        for name, (split, encoded) in data["classes"].items():
            bits = np.unpackbits(np.frombuffer(base64.b64decode(encoded), np.uint8))
            yield ListedClass(name, split, tuple(f"{name}{index + 1:08d}" for index in np.flatnonzero(bits)))

    return ClassList(
        name="miniimagenet",
        title="miniImageNet",
        size=(84, 84),
        grey=False,
        suffixes=(".jpg", ".jpeg", ".png"),
        formats=("JPEG", "PNG"),
        sides=(32, 8192),
        nested=False,
        about={
            "source": "Vinyals et al. (2016), images of ImageNet (ILSVRC-2012), https://image-net.org",
            "licence": "ImageNet's terms: non-commercial research and education, no redistribution",
            "split": data["source"],
            "rotations": [0],
            "inversion": False,
        },
        classes=_in_order(classes()),
    )


def _cub() -> ClassList:
    data = _shipped("cub")

    def classes() -> Iterator[ListedClass]:
        for name, (split, stem, encoded) in data["classes"].items():
            numbers = (image.split("_") for image in encoded.split())
            yield ListedClass(name, split, tuple(sorted(f"{stem}_{int(a):04d}_{b}" for a, b in numbers)))

    return ClassList(
        name="cub",
        title="CUB-200-2011",
        size=(84, 84),
        grey=False,
        suffixes=(".jpg",),
        formats=("JPEG",),
        sides=(32, 4096),
        numbered=True,
        drops_strays=True,
        archives=("CUB_200_2011.tgz",),
        about={
            "source": "Wah et al. (2011), https://www.vision.caltech.edu/datasets/cub_200_2011/",
            "licence": "Caltech's terms: non-commercial research and education, no redistribution",
            "split": data["source"],
            "rotations": [0],
            "inversion": False,
        },
        classes=_in_order(classes()),
    )


_LISTS = {"omniglot": _omniglot, "miniimagenet": _miniimagenet, "cub": _cub}
DATASETS = tuple(_LISTS)
"""Names of the datasets that can be imported."""


@cache
def class_list(name: str) -> ClassList:
    """The list of the dataset ``name``.

    Raises:
        RequestError: There is no such dataset.
    """
    if name not in _LISTS:
        raise RequestError(unknown_key(name, DATASETS).replace("unknown", "unknown dataset", 1))
    return _LISTS[name]()
