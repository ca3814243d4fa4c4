"""Opening what was imported: what it holds, what is refused, and a folder of an older version of the format."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from oplstm.episodes.datasets.store import dataset_status, open_dataset, verify_dataset
from oplstm.errors import RequestError

from .made_up import imported, tiny

OLD = Path(__file__).with_name("dataset_v1")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    imported("omniglot", home)
    return home


@pytest.fixture
def folder(home, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(home / "omniglot", tmp_path / "omniglot"))


def changed(folder, **values):
    data = json.loads((folder / "dataset.json").read_text()) | values
    (folder / "dataset.json").write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_a_dataset_opens_without_being_read(home):
    dataset = open_dataset(home / "omniglot")
    assert isinstance(dataset.pixels, np.memmap)
    assert not dataset.pixels.flags.writeable
    assert (dataset.pixels.shape, dataset.pixels.dtype) == ((18, 28, 28, 1), np.uint8)
    assert dataset.name == "omniglot" and not dataset.partial
    assert dataset.class_names == tuple(c.name for c in tiny("omniglot").classes)
    np.testing.assert_array_equal(dataset.class_starts, np.arange(0, 19, 3))
    assert dataset.class_starts.dtype == np.int64
    assert dict(dataset.splits) == {"train": (0, 1), "val": (2, 3), "test": (4, 5)}
    assert dataset.description["title"] == "Omniglot"
    assert dataset.description["rotations"] == [0, 90, 180, 270] and dataset.description["inversion"] is True
    assert dataset.description["background"] == 255
    with pytest.raises(TypeError):
        dataset.splits["train"] = ()


def test_a_dataset_of_the_first_version_opens():
    dataset = verify_dataset(OLD)
    np.testing.assert_array_equal(dataset.pixels.ravel(), np.arange(4 * 2 * 3))
    assert dataset.pixels.shape == (4, 2, 3, 1)
    assert dataset.class_names == ("a", "b", "c")
    assert dict(dataset.splits) == {"train": (0,), "val": (1,), "test": (2,)}
    assert list(dataset.class_starts) == [0, 1, 3, 4]
    assert dataset.partial and dataset.description["title"] == "Made up, 3 of 4 classes"


def test_another_version_is_refused(folder):
    changed(folder, version=2)
    with pytest.raises(RequestError, match="has format version 2, this oplstm reads 1; import it again"):
        open_dataset(folder)


def test_what_was_not_imported_is_said(tmp_path):
    with pytest.raises(RequestError, match="omniglot holds no imported dataset: oplstm data import omniglot PATH"):
        open_dataset(tmp_path / "omniglot")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff"])
def test_a_damaged_description_is_refused(folder, text):
    (folder / "dataset.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RequestError, match="import it again"):
        open_dataset(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"shape": [17, 28, 28, 1]},
        {"shape": None},
        {"class_names": ["a"]},
        {"class_starts": [0, 3, 6, 9, 12, 15, 17]},
        {"class_starts": [1, 3, 6, 9, 12, 15, 18]},
        {"class_starts": [0, 3, 3, 9, 12, 15, 18]},
        {"class_starts": [0, 3, 2**70, 9, 12, 15, 18]},
        {"splits": {"train": [0, 1], "val": [2, 3]}},
        {"splits": {"train": [0, 1], "val": [2, 3], "test": [4]}},
        {"splits": {"train": [0, 1], "val": [2, 3], "test": [3, 4, 5]}},
        {"digest": None},
        {"title": None},
        {"notes": None},
    ],
    ids=str,
)
def test_a_description_that_cannot_be_is_refused(folder, values):
    changed(folder, **values)
    with pytest.raises(RequestError, match=r"is damaged .* import it again"):
        open_dataset(folder)


def test_pixels_of_another_length_are_refused(folder):
    whole = (folder / "pixels.npy").read_bytes()
    for data in (whole[:-1], whole[: len(whole) // 2], whole + b"\0", b"", b"PK\x03\x04", whole[:40]):
        (folder / "pixels.npy").write_bytes(data)
        with pytest.raises(RequestError, match=r"is damaged .* import it again"):
            open_dataset(folder)
    (folder / "pixels.npy").unlink()
    with pytest.raises(RequestError, match=r"is damaged .* import it again"):
        open_dataset(folder)


def test_pixels_that_are_no_bytes_are_refused(folder):
    np.save(folder / "pixels.npy", np.zeros((18, 28, 28, 1), np.float32))
    with pytest.raises(RequestError, match="is damaged"):
        open_dataset(folder)
    np.save(folder / "pixels.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(RequestError, match="is damaged"):
        open_dataset(folder)


def test_changed_pixels_are_found(folder):
    verify_dataset(folder)
    data = bytearray((folder / "pixels.npy").read_bytes())
    data[-1] ^= 1
    (folder / "pixels.npy").write_bytes(data)
    open_dataset(folder)
    with pytest.raises(RequestError, match="has changed since its import"):
        verify_dataset(folder)


@pytest.mark.parametrize("key", ["class_names", "splits", "class_starts"])
def test_the_digest_covers_names_and_splits(folder, key):
    value = json.loads((folder / "dataset.json").read_text())[key]
    if key == "class_names":
        value[0] += "x"
    elif key == "splits":
        value["train"], value["val"] = value["val"], value["train"]
    else:
        value[1] += 1
    changed(folder, **{key: value})
    with pytest.raises(RequestError, match="has changed since its import"):
        verify_dataset(folder)


def test_status_says_what_is_there(home, tmp_path):
    assert dataset_status(tmp_path / "absent") == []
    shutil.copytree(home / "omniglot", tmp_path / "omniglot")
    shutil.copytree(OLD, tmp_path / "made-up")
    shutil.copytree(OLD, tmp_path / "spoiled")
    (tmp_path / "spoiled" / "pixels.npy").write_bytes(b"short")
    shutil.copytree(OLD, tmp_path / ".omniglot.importing")
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    made_up, omniglot, spoiled = dataset_status(tmp_path)
    assert omniglot == {
        "name": "omniglot",
        "folder": str(tmp_path / "omniglot"),
        "problem": None,
        "disk_bytes": sum(path.stat().st_size for path in (tmp_path / "omniglot").iterdir()),
        "title": "Omniglot",
        "classes": 6,
        "splits": {"train": 2, "val": 2, "test": 2},
        "images": 18,
        "size": [28, 28, 1],
        "digest": open_dataset(tmp_path / "omniglot").digest,
        "partial": False,
        "notes": [],
    }
    assert made_up["partial"] and made_up["title"] == "Made up, 3 of 4 classes"
    assert spoiled["name"] == "spoiled" and "is damaged" in spoiled["problem"]
    assert json.loads(json.dumps([made_up, omniglot, spoiled])) == [made_up, omniglot, spoiled]
