"""Any folder of class folders as a dataset: which pictures are of which class, and which classes of which split."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from oplstm.configuration import unknown_key
from oplstm.episodes.datasets.class_lists import DATASETS, SPLITS, ClassList, ListedClass
from oplstm.episodes.datasets.matching import Matched, some
from oplstm.episodes.datasets.members import Member
from oplstm.episodes.datasets.sources import Source, is_junk
from oplstm.errors import RequestError, shown
from oplstm.registry import NAME

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP")
SIDES: Final = (1, 8192)
SPLIT_FILES: Final = ("split.json", "split.csv")
SPLIT_NAMES: Final = {**{split: split for split in SPLITS}, "valid": "val", "validation": "val"}
LARGEST_SPLIT_FILE: Final = 4 << 20
LARGEST_SIDE: Final = 512
LEAST: Final = 2
"""Classes of a split, and images of a class: a task has two classes, and of each an image in either of its sets."""

Split = Mapping[str, Sequence[str]]
"""The classes of ``train``, ``val`` and ``test``."""


def check_name(name: str, size: int) -> None:
    """See that a dataset of one's own can have that name, and that size.

    Raises:
        RequestError: It cannot.
    """
    if not NAME.fullmatch(name) or name in DATASETS:
        taken = f", and {', '.join(DATASETS)} are taken" if name in DATASETS else ""
        raise RequestError(f"--name must be small letters, digits and _{taken}, got {shown(name)}")
    if not 1 <= size <= LARGEST_SIDE:
        raise RequestError(f"--size must be 1 to {LARGEST_SIDE} pixels, got {size}")


def read_split(path: Path) -> Split:
    """The split that a file says, JSON or CSV.

    Raises:
        RequestError: It cannot be read, or says something else.
    """
    try:
        with path.open("rb") as file:
            return parse_split(file.read(LARGEST_SPLIT_FILE + 1), str(path))
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({error.strerror})") from None


def parse_split(content: bytes, where: str) -> Split:
    """The split in a file's content.

    Args:
        content: JSON, ``{"train": [...], "val": [...], "test": [...]}``, or CSV with the columns ``class,split``.
        where: The file's name in messages; it says which.

    Raises:
        RequestError: It is no such file, or puts a class into two splits.
    """
    wanted = (
        'a JSON object {"train": [classes], "val": [...], "test": [...]}'
        if where.lower().endswith(".json")
        else "a CSV with the columns class,split"
    )
    try:
        if len(content) > LARGEST_SPLIT_FILE:
            raise ValueError("it is too large")
        text = content.decode("utf-8-sig")
        if where.lower().endswith(".json"):
            listed = [(name, part) for part, names in json.loads(text).items() for name in names]
        else:
            rows = csv.DictReader(io.StringIO(text, newline=""))
            listed = [(row["class"], row["split"]) for row in rows]
        if not listed:
            raise ValueError("it is empty")
        if not all(isinstance(name, str) and isinstance(part, str) for name, part in listed):
            raise ValueError("a name is no text")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error):
        raise RequestError(f"{where} is no split file: wanted is {wanted}") from None
    split: dict[str, str] = {}
    for name, part in ((name.strip().strip("/"), part.strip()) for name, part in listed):
        if part not in SPLIT_NAMES:
            raise RequestError(f"{where}: {unknown_key(part, SPLITS)}")
        if name in split:
            twice = f"in {split[name]} and in {part}" if split[name] != part else f"twice in {part}"
            raise RequestError(f"{where}: the class {shown(name)} is {twice}; a class is in one split, once")
        split[name] = part
    return {part: [name for name, of in split.items() if SPLIT_NAMES[of] == part] for part in SPLITS}


def match_folders(
    name: str, source: Source, where: Path, *, size: int, grey: bool, split: Split | None
) -> tuple[ClassList, Matched]:
    """The dataset that a folder of class folders is.

    A class is a folder that holds pictures; its name is the path to it. Its split is said by ``split``, by a file
    ``split.json`` or ``split.csv`` beside the classes, or by the folders ``train``, ``val`` and ``test`` around them.

    Args:
        name: Of the dataset.
        source: Where to look.
        where: The source's name in messages.
        size: Height and width of the stored images.
        grey: Whether they are grey.
        split: Said elsewhere; None where the source says it.

    Raises:
        RequestError: One line that names what is wrong.
    """
    members = [member for member in source.members() if not is_junk(member.path)]
    pictures = [member.path for member in members if member.path.lower().endswith(SUFFIXES)]
    if not pictures:
        raise RequestError(f"{where} holds no picture ({', '.join(SUFFIXES)})")
    root = _root(pictures)
    of_class: dict[str, list[str]] = defaultdict(list)
    for path in pictures:
        of_class[path.removeprefix(root).rpartition("/")[0]].append(path)
    if loose := of_class.pop("", None):
        raise RequestError(f"{where}: pictures in no folder of a class: {some(sorted(loose))}")
    files = [root + file for file in SPLIT_FILES if any(member.path == root + file for member in members)]
    if split is None and files:
        [(_, content)] = source.read(files[:1])
        split = parse_split(content, f"{where}: {files[0]}")
    classes = _by_folder(of_class, where) if split is None else _by_list(of_class, split, where)
    _check_counts(classes, where)
    listed = ClassList(
        name=name,
        title=name,
        size=(size, size),
        grey=grey,
        suffixes=SUFFIXES,
        formats=FORMATS,
        sides=SIDES,
        own=True,
        about={"source": "a folder of class folders", "licence": "its owner's", "split": "its owner's",
               "rotations": [0], "inversion": False},
        classes=tuple(one for one, _ in classes),
    )  # fmt: skip
    slots = {path: place for place, path in enumerate(path for _, paths in classes for path in paths)}
    return listed, Matched(listed.classes, slots, _strays(members, pictures, files))


def _root(paths: Sequence[str]) -> str:
    """The folder around all classes: what all paths begin with, but the last folder and names of splits."""
    shared: list[str] = []
    for parts in zip(*(path.split("/")[:-1] for path in paths), strict=False):
        if len(set(parts)) > 1 or parts[0] in SPLIT_NAMES:
            break
        shared.append(parts[0])
    if any(len(path.split("/")) - 1 == len(shared) for path in paths):  # the last one is the only class
        shared = shared[:-1]
    return "".join(f"{part}/" for part in shared)


Classes = list[tuple[ListedClass, list[str]]]
"""With the paths of their pictures, in the order in which they are stored."""


def _by_folder(of_class: Mapping[str, Sequence[str]], where: Path) -> Classes:
    parts = {folder: folder.partition("/") for folder in of_class}
    outside = sorted(folder for folder, (top, _, below) in parts.items() if top not in SPLIT_NAMES or not below)
    if outside:
        raise RequestError(
            f"{where} does not say which classes are for meta-training, validation and test ({some(outside)}): put a "
            "split.json or split.csv beside the classes, name one with --split, or put the classes into the folders "
            "train, val and test"
        )
    split = defaultdict(list)
    for top, _, below in parts.values():
        split[top].append(below)
    seen: dict[str, str] = {}
    for top in sorted(split, key=lambda top: SPLITS.index(SPLIT_NAMES[top])):
        for name in split[top]:
            if name in seen:
                raise RequestError(f"{where}: the class {shown(name)} is in {seen[name]} and in {top}")
            seen[name] = top
    return _ordered({below: (SPLIT_NAMES[top], of_class[folder]) for folder, (top, _, below) in parts.items()})


def _by_list(of_class: Mapping[str, Sequence[str]], split: Split, where: Path) -> Classes:
    part_of = {name: part for part, names in split.items() for name in names}
    absent = sorted(set(part_of) - set(of_class))
    if absent:
        raise RequestError(f"{where} has no pictures of classes of the split: {some(absent)}")
    unlisted = sorted(set(of_class) - set(part_of))
    if unlisted:
        raise RequestError(f"{where}: classes that are in no split: {some(unlisted)}")
    return _ordered({name: (part_of[name], paths) for name, paths in of_class.items()})


def _ordered(found: Mapping[str, tuple[str, Sequence[str]]]) -> Classes:
    order = sorted(found, key=lambda name: (SPLITS.index(found[name][0]), name))
    return [
        (ListedClass(name, found[name][0], tuple(sorted(found[name][1]))), sorted(found[name][1])) for name in order
    ]


def _check_counts(classes: Classes, where: Path) -> None:
    for part in SPLITS:
        count = sum(one.split == part for one, _ in classes)
        if count < LEAST:
            raise RequestError(f"{where}: classes in {part}: {count}, and a task needs at least {LEAST}")
    for one, paths in classes:
        if len(paths) < LEAST:
            raise RequestError(
                f"{where}: the class {one.name} has only the picture {paths[0]}, and a task needs at least {LEAST}: "
                "one to learn from and one to be asked"
            )


def _strays(members: Sequence[Member], pictures: Sequence[str], files: Sequence[str]) -> tuple[str, ...]:
    known = {*pictures, *files}
    return tuple(sorted(member.path for member in members if member.path not in known))
