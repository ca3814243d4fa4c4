"""Importing a dataset: from what its authors publish to one array on disk, every image decoded once."""

import os
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from oplstm.episodes.datasets.class_lists import SPLITS, ClassList, class_list
from oplstm.episodes.datasets.decoding import RESIZE, Decoder, decoder_version, oversized_images_refused
from oplstm.episodes.datasets.matching import Matched, match, some
from oplstm.episodes.datasets.own_folders import check_name, match_folders, read_split
from oplstm.episodes.datasets.sources import Source, open_source
from oplstm.episodes.datasets.staging import staged
from oplstm.episodes.datasets.store import PIXELS, ImageDataset, open_dataset, write_description
from oplstm.episodes.datasets.torchvision_adapter import torchvision
from oplstm.errors import RequestError, WorkError

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""

BATCH_IMAGES, BATCH_BYTES = 32, 4 * 2**20
"""A thread's piece of work ends with the image that reaches either."""
MAX_WORKERS = 16
DOWNLOAD_TIMEOUT_S = 60.0
"""Without an answer, or without another byte."""


def import_dataset(
    name: str,
    source: Path,
    data_home: Path,
    *,
    partial: bool = False,
    workers: int | None = None,
    on_progress: Progress | None = None,
    listed: ClassList | None = None,
) -> ImageDataset:
    """Import ``source`` as ``data_home/name``, in place of what was there.

    Nothing is unpacked to disk, at most a few batches of images are in memory, and the folder appears when all of it
    is written. The same images give the same bytes, whether they come from a folder or an archive.

    Args:
        name: ``omniglot``, ``miniimagenet`` or ``cub``.
        source: What was downloaded: a folder or an archive.
        data_home: Where datasets are kept.
        partial: Accept a source that lacks whole classes.
        workers: Threads that decode; one a processor by default.
        on_progress: Called, on this thread, with images done and images in all.
        listed: What the dataset must hold, instead of the list that ships under ``name``.

    Raises:
        RequestError: The source does not hold the dataset, or is damaged or hostile: one line that names what.
        WorkError: The disk could not be written.
    """
    wanted = class_list(name) if listed is None else listed
    with closing(open_source(source, wanted.archives)) as opened:
        found = Found(wanted, match(wanted, opened, source, partial=partial), source)
        return _store(found, opened, data_home / name, workers=workers, on_progress=on_progress)


def import_folders(
    name: str,
    source: Path,
    data_home: Path,
    *,
    size: int,
    grey: bool,
    split: Path | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> ImageDataset:
    """Import a folder of class folders, a dataset of the user's own, as ``data_home/name``; as ``import_dataset`` does.

    Args:
        name: Of the dataset.
        source: The folder, or an archive of it.
        data_home: Where datasets are kept.
        size: Height and width of the stored images.
        grey: Whether they are grey.
        split: A file that says which classes are in which split; None where the source says it.
        workers: Threads that decode; one a processor by default.
        on_progress: As of ``import_dataset``.

    Raises:
        RequestError: The name is impossible, or something is wrong with the source: one line that names what.
        WorkError: The disk could not be written.
    """
    check_name(name, size)
    said = None if split is None else read_split(split)
    with closing(open_source(source, ())) as opened:
        found = Found(*match_folders(name, opened, source, size=size, grey=grey, split=said), source)
        return _store(found, opened, data_home / name, workers=workers, on_progress=on_progress)


@dataclass(frozen=True)
class Found:
    """A dataset that was found in a source.

    Attributes:
        listed: What it is.
        matched: Its files.
        where: The source's name in messages.
    """

    listed: ClassList
    matched: Matched
    where: Path


def _store(
    found: Found, source: Source, folder: Path, *, workers: int | None, on_progress: Progress | None
) -> ImageDataset:
    listed, matched = found.listed, found.matched
    shape = (len(matched.slots), *listed.size, listed.channels)
    with staged(folder, int(np.prod(shape))) as draft:
        with closing(_decode_all(found, source, workers=workers or _processors())) as decoded:
            _write_pixels(draft / PIXELS, shape, decoded=decoded, on_progress=on_progress)
        write_description(draft, _describe(listed, matched, shape))
    return open_dataset(folder)


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS)


Batch = list[tuple[str, bytes]]
Decoded = list[tuple[int, bytes]]


def _batches(items: Iterator[tuple[str, bytes]]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for path, data in items:
        batch.append((path, data))
        size += len(data)
        if len(batch) == BATCH_IMAGES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decode_all(found: Found, source: Source, *, workers: int) -> Generator[Decoded, None, None]:
    """Places and pixels of all images; at most two batches a thread wait in memory."""
    decoder, matched, where = Decoder(found.listed), found.matched, found.where

    def decode(batch: Batch) -> Decoded:
        return [(matched.slots[path], decoder(data, f"{where}: {path}").tobytes()) for path, data in batch]

    waiting: deque[Future[Decoded]] = deque()
    with oversized_images_refused(), ThreadPoolExecutor(workers, "oplstm-decode") as pool:
        try:
            for batch in _batches(source.read(matched.slots)):
                waiting.append(pool.submit(decode, batch))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_pixels(
    path: Path, shape: tuple[int, ...], *, decoded: Iterator[Decoded], on_progress: Progress | None
) -> None:
    item, done = int(np.prod(shape[1:])), 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = file.tell()
        file.truncate(start + item * shape[0])
        for batch in decoded:
            for slot, pixels in batch:
                file.seek(start + slot * item)
                file.write(pixels)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, shape[0])
    if done != shape[0]:
        raise RequestError(f"the source changed while it was read: {done} images instead of {shape[0]}")


def _describe(listed: ClassList, matched: Matched, shape: tuple[int, ...]) -> dict[str, Any]:
    """What ``dataset.json`` holds; nothing in it depends on where and when the import was made."""
    classes = matched.classes
    notes = []
    if matched.strays:
        names = [path.rpartition("/")[2] for path in matched.strays]
        what = "files that are no pictures" if listed.own else f"image files that {listed.title} does not list"
        notes.append(f"{len(names)} {what} were left out: {some(names)}")
    return {
        "name": listed.name,
        "title": listed.title_of(classes),
        "partial": len(classes) < len(listed.classes),
        "shape": list(shape),
        "class_names": [c.name for c in classes],
        "class_starts": [0, *np.cumsum([len(c.images) for c in classes]).tolist()],
        "splits": {split: [i for i, c in enumerate(classes) if c.split == split] for split in SPLITS},
        "decoder": decoder_version(),
        "resize": RESIZE,
        "notes": notes,
        **listed.about,
    }


def download_omniglot(folder: Path, on_progress: Progress | None = None) -> Path:
    """Download Omniglot's two archives from its public home, as torchvision does, and return ``folder``.

    Archives that are there already, and whole, are kept.

    Args:
        folder: Where to put them; import it afterwards.
        on_progress: Called with archives done and archives in all.

    Raises:
        WorkError: The download failed.
    """
    datasets = torchvision("datasets")
    archives: dict[str, str] = datasets.Omniglot.zips_md5
    for done, (name, md5) in enumerate(archives.items()):
        if on_progress is not None:
            on_progress(done, len(archives))
        url = f"{datasets.Omniglot.download_url_prefix}/{name}.zip"
        whole, part = folder / f"{name}.zip", folder / f".{name}.zip.part"
        try:
            if not datasets.utils.check_integrity(whole, md5):
                with _sockets_that_give_up():
                    datasets.utils.download_url(url, folder, filename=part.name, md5=md5)
                part.replace(whole)
        except (OSError, HTTPException, RuntimeError) as error:
            raise WorkError(f"{url} could not be downloaded to {folder} ({error})") from None
        finally:
            part.unlink(missing_ok=True)
    if on_progress is not None:
        on_progress(len(archives), len(archives))
    return folder


@contextmanager
def _sockets_that_give_up() -> Iterator[None]:
    """Sockets opened meanwhile wait ``DOWNLOAD_TIMEOUT_S`` at most; torchvision offers no time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
