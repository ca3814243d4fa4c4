"""Imported datasets on disk: one folder each, an array of pixels and a JSON description, opened by memory-mapping."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oplstm.episodes.datasets.class_lists import DATASETS, SPLITS
from oplstm.errors import RequestError

VERSION = 1
PIXELS, DESCRIPTION = "pixels.npy", "dataset.json"
CHUNK = 2**20
FIELDS = {"version", "name", "shape", "class_names", "class_starts", "splits", "digest", "partial"}


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """An imported dataset. Its pixels stay on disk until they are read.

    Attributes:
        name: ``omniglot``, ``miniimagenet`` or ``cub``, or that which a user has given.
        pixels: uint8 ``(images, height, width, channels)``, class after class, read-only; white is 255.
        class_names: The classes in the order of their images: training, validation, then test classes.
        class_starts: ``(classes + 1,)``; the images of class c are ``pixels[class_starts[c]:class_starts[c + 1]]``.
        splits: ``train``, ``val`` and ``test``, each the indices of its classes.
        digest: ``sha256:<hex>; <decoder>``: over names, splits and pixels, and the versions that decoded them.
        partial: Whether whole classes are absent; ``description["title"]`` says so then.
        description: Everything else: ``title`` (the name to show), ``source``, ``licence``, ``split``, ``decoder``,
            ``resize``, ``notes``, ``rotations`` (degrees, counter-clockwise, that make classes of their own) and
            ``inversion`` (whether ``255 - pixel`` is offered).
    """

    name: str
    pixels: "np.memmap[Any, np.dtype[np.uint8]]"
    class_names: tuple[str, ...]
    class_starts: NDArray[np.int64]
    splits: Mapping[str, tuple[int, ...]]
    digest: str
    partial: bool
    description: Mapping[str, Any]


def open_dataset(folder: Path) -> ImageDataset:
    """Open the dataset that was imported into ``folder``; its pixels are mapped, not read.

    Raises:
        RequestError: It was not imported, by another version of the format, or its files are damaged.
    """
    how = f"oplstm data import {folder.name} PATH"
    if folder.name not in DATASETS:
        how = f"oplstm data import FOLDER --name {folder.name}"
    again = f"import it again: {how}"
    try:
        data = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    except FileNotFoundError:
        raise RequestError(f"{folder} holds no imported dataset: {how}") from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder / DESCRIPTION} cannot be read ({error}); {again}") from None
    version = data.get("version") if isinstance(data, dict) else None
    if version != VERSION:
        raise RequestError(f"{folder / DESCRIPTION} has format version {version}, this oplstm reads {VERSION}; {again}")
    try:
        dataset = _dataset(data, folder / PIXELS)
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise RequestError(f"{folder} is damaged ({type(error).__name__}: {error}); {again}") from None
    return dataset


def _dataset(data: dict[str, Any], path: Path) -> ImageDataset:
    pixels = np.lib.format.open_memmap(path, mode="r")
    shape, starts = tuple(data["shape"]), np.array(data["class_starts"], dtype=np.int64)
    names = tuple(str(name) for name in data["class_names"])
    splits = {split: tuple(int(index) for index in data["splits"][split]) for split in SPLITS}
    if pixels.dtype != np.uint8 or pixels.shape != shape or len(shape) != 4:
        raise ValueError(f"{path.name} is not the array of {shape} bytes that the description names")
    if path.stat().st_size != pixels.offset + pixels.nbytes:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, wanted {pixels.offset + pixels.nbytes}")
    if starts.shape != (len(names) + 1,) or starts[0] != 0 or starts[-1] != len(pixels) or (np.diff(starts) < 1).any():
        raise ValueError("class_starts does not divide the images into the classes")
    if sorted(index for split in SPLITS for index in splits[split]) != list(range(len(names))):
        raise ValueError("splits does not divide the classes")
    if not {"title", "notes"} <= set(data):
        raise ValueError("title or notes is absent")
    description = {key: value for key, value in data.items() if key not in FIELDS}
    return ImageDataset(
        name=str(data["name"]),
        pixels=pixels,
        class_names=names,
        class_starts=starts,
        splits=MappingProxyType(splits),
        digest=str(data["digest"]),
        partial=bool(data["partial"]),
        description=MappingProxyType(description),
    )


def write_description(folder: Path, data: Mapping[str, Any]) -> None:
    """Describe the pixels that ``folder`` holds: ``data`` with the version and the digest, the same bytes each time.

    Args:
        folder: Has ``pixels.npy``.
        data: What ``dataset.json`` holds beside those two.
    """
    described = {"version": VERSION, **data, "digest": digest(folder, data)}
    text = json.dumps(described, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", "utf-8")


def digest(folder: Path, data: Mapping[str, Any]) -> str:
    """SHA-256 over what decides an episode (names, splits, pixels), then the decoder's versions. Reads the pixels."""
    identity = {key: data[key] for key in ("name", "shape", "class_names", "class_starts", "splits")}
    sha = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    header = np.lib.format.open_memmap(folder / PIXELS, mode="r").offset
    with (folder / PIXELS).open("rb") as file:
        file.seek(header)
        while chunk := file.read(CHUNK):
            sha.update(chunk)
    return f"sha256:{sha.hexdigest()}; {data['decoder']}"


def verify_dataset(folder: Path) -> ImageDataset:
    """Open a dataset and compute its digest anew from the pixels on disk.

    Raises:
        RequestError: The digest is not the recorded one, or as for ``open_dataset``.
    """
    dataset = open_dataset(folder)
    found = digest(folder, json.loads((folder / DESCRIPTION).read_text("utf-8")))
    if found != dataset.digest:
        raise RequestError(f"{folder} has changed since its import: digest {found}, recorded {dataset.digest}")
    return dataset


def dataset_status(data_home: Path) -> list[dict[str, Any]]:
    """What was imported below ``data_home``, by name.

    Returns:
        A dictionary a dataset: ``name``, ``folder``, ``disk_bytes`` and ``problem``, which is None for one that can be
        opened; such a one has ``title``, ``classes``, ``splits`` (classes in each), ``images``, ``size`` (height,
        width, channels), ``digest``, ``partial`` and ``notes`` too.
    """
    found: list[dict[str, Any]] = []
    for folder in sorted(data_home.iterdir()) if data_home.is_dir() else []:
        if folder.name.startswith(".") or not ((folder / DESCRIPTION).exists() or (folder / PIXELS).exists()):
            continue
        entry: dict[str, Any] = {"name": folder.name, "folder": str(folder), "problem": None}
        entry["disk_bytes"] = sum(path.stat().st_size for path in folder.iterdir())
        try:
            dataset = open_dataset(folder)
        except RequestError as error:
            found.append({**entry, "problem": str(error)})
            continue
        found.append(
            {
                **entry,
                "title": dataset.description["title"],
                "classes": len(dataset.class_names),
                "splits": {split: len(classes) for split, classes in dataset.splits.items()},
                "images": len(dataset.pixels),
                "size": list(dataset.pixels.shape[1:]),
                "digest": dataset.digest,
                "partial": dataset.partial,
                "notes": dataset.description["notes"],
            }
        )
    return found
