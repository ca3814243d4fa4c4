"""The real Omniglot, where OPLSTM_DATA has it: every class and drawing, and the pixels that everyone should get."""

import hashlib
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from oplstm.episodes.datasets.importing import import_dataset
from oplstm.episodes.datasets.store import verify_dataset

pytestmark = pytest.mark.integration

PIXELS = "4c1c79351d6303bd52d4bb9b56da9bc2a9fbf270f9a6fbc1d6b4373f26cc29a9"


@pytest.fixture(scope="module")
def archives(real_data):
    if not (real_data / "omniglot" / "images_background.zip").exists():
        pytest.skip(f"OPLSTM_DATA has no omniglot/images_background.zip in {real_data}")
    return real_data / "omniglot"


@pytest.fixture(scope="module")
def omniglot(archives, tmp_path_factory):
    started = time.perf_counter()
    dataset = import_dataset("omniglot", archives, tmp_path_factory.mktemp("home"))
    print(f"imported in {time.perf_counter() - started:.1f} s")
    return dataset


def test_every_class_and_drawing_is_there(omniglot):
    assert len(omniglot.class_names) == 1623
    assert set(np.diff(omniglot.class_starts)) == {20}
    assert omniglot.pixels.shape == (32460, 28, 28, 1)
    assert {split: len(classes) for split, classes in omniglot.splits.items()} == {
        "train": 1028,
        "val": 172,
        "test": 423,
    }
    assert omniglot.description["notes"] == [] and not omniglot.partial


def test_the_pixels_are_those_that_everyone_gets(omniglot, archives, tmp_path):
    assert hashlib.sha256(omniglot.pixels.tobytes()).hexdigest() == PIXELS
    assert import_dataset("omniglot", archives, tmp_path, workers=1).digest == omniglot.digest
    assert verify_dataset(tmp_path / "omniglot").digest == omniglot.digest


def test_a_drawing_is_the_one_of_its_name(omniglot, archives):
    index = omniglot.class_starts[omniglot.class_names.index("Tibetan/character07")] + 11
    with zipfile.ZipFile(archives / "images_evaluation.zip") as archive:
        [name] = [n for n in archive.namelist() if "/Tibetan/character07/" in n and n.endswith("_12.png")]
        with archive.open(name) as file:
            drawing = Image.open(file).convert("L")
    wanted = np.asarray(drawing.resize((28, 28), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(omniglot.pixels[index, ..., 0], wanted)
    assert omniglot.pixels.mean() > 200, "dark strokes on white"
