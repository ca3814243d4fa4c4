"""Made-up datasets: a few classes of the real lists, in the real layouts, with noise for images."""

import io
import tarfile
import zipfile
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from oplstm.episodes.datasets.class_lists import SPLITS, class_list
from oplstm.episodes.datasets.importing import import_dataset

SIDES = {"omniglot": (105, 105), "miniimagenet": (84, 84), "cub": (120, 96)}


@cache
def tiny(name, classes=2, images=3):
    """The real list, cut to the first classes of each split and the first images of each class."""
    listed = class_list(name)
    kept = []
    for split in SPLITS:
        of_split = [a_class for a_class in listed.classes if a_class.split == split][:classes]
        kept += [replace(a_class, images=a_class.images[:images]) for a_class in of_split]
    return replace(listed, classes=tuple(kept))


@cache
def image(name, stem):
    """The file of an image: noise that only depends on its name."""
    rng = np.random.default_rng(zlib.crc32(stem.encode()))
    width, height = SIDES[name]
    file = io.BytesIO()
    if name == "omniglot":
        Image.fromarray(rng.random((height, width)) < 0.9).save(file, "PNG")
    else:
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


def files(listed, flat=False):
    """Paths and bytes of all files, as the dataset's authors lay them out."""
    found = {}
    for a_class in listed.classes:
        for stem in a_class.images:
            if listed.name == "omniglot":
                background = int(stem[:4]) <= 964
                path = f"images_{'background' if background else 'evaluation'}/{a_class.name}/{stem}.png"
            elif listed.name == "cub":
                path = f"CUB_200_2011/images/{a_class.name}/{stem}.jpg"
            else:
                path = f"images/{stem}.jpg" if flat else f"{a_class.split}/{a_class.name}/{stem}.jpg"
            found[path] = image(listed.name, stem)
    if listed.name == "cub":
        found["CUB_200_2011/images.txt"] = b"1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg\n"
        found["attributes.txt"] = b"1 has_bill_shape::curved\n"
    if flat:
        for split in SPLITS:
            rows = [f"{stem}.jpg,{c.name}" for c in listed.classes if c.split == split for stem in c.images]
            found[f"{split}.csv"] = "\n".join(["filename,label", *rows, ""]).encode()
    return found


def as_folder(found, folder):
    for path, data in found.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def as_zip(found, path, compression=zipfile.ZIP_STORED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    return path


def as_tar(found, path, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in found.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def imported(name, data_home, **options):
    """A tiny dataset, imported: what tests of other modules open."""
    source = as_folder(files(tiny(name)), Path(data_home) / f".{name}-source")
    return import_dataset(name, source, Path(data_home), listed=tiny(name), **options)


def left_in(folder):
    """Every file and folder below ``folder``."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
