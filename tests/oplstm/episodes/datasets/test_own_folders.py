"""A folder of class folders as a dataset of one's own: how it may lie, what is stored, and every way to be wrong."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from oplstm.configuration import Problems, build
from oplstm.episodes.datasets.importing import import_folders
from oplstm.episodes.datasets.store import verify_dataset
from oplstm.episodes.own_images import OwnImageTasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.errors import RequestError

SPLIT = {"train": ["ant", "bee", "sub/cat"], "val": ["dog", "elk"], "test": ["fox", "gnu"]}
PART_OF = {name: part for part, names in SPLIT.items() for name in names}
CSV = "class,split\n" + "".join(f"{name},{part}\n" for name, part in PART_OF.items())


def picture(level, mode="RGB", size=(12, 10), suffix="PNG"):
    file = io.BytesIO()
    Image.new(mode, size, level).save(file, suffix)
    return file.getvalue()


def files(*, by_split=False, root=""):
    """Three pictures a class, each of one level of grey; no two classes are alike."""
    return {
        f"{root}{PART_OF[name] + '/' if by_split else ''}{name}/{one}.png": picture((10 * (at + 1) + one,) * 3)
        for at, name in enumerate(PART_OF)
        for one in range(3)
    }


def folder(content, where):
    for name, data in content.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return where


def zipped(content, where):
    with zipfile.ZipFile(where.with_suffix(".zip"), "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return where.with_suffix(".zip")


def imported(source, data, split=None, **options):
    return import_folders("mine", source, data, **{"size": 8, "grey": False, **options}, split=split)


LAYOUTS = {
    "JSON beside the classes": lambda path: (folder(files() | {"split.json": json.dumps(SPLIT)}, path), None),
    "CSV beside the classes": lambda path: (folder(files() | {"split.csv": CSV}, path), None),
    "a file elsewhere": lambda path: (folder(files(), path), folder({"my.csv": CSV}, path.parent) / "my.csv"),
    "folders of splits": lambda path: (folder(files(by_split=True), path), None),
    "validation": lambda path: (
        folder({name.replace("val/", "validation/"): data for name, data in files(by_split=True).items()}, path), None
    ),
    "an archive with a folder around": lambda path: (
        zipped(files(root="mine-1.0/") | {"mine-1.0/split.json": json.dumps(SPLIT)}, path), None
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    where = tmp_path_factory.mktemp("first")
    source, split = LAYOUTS["JSON beside the classes"](where / "in")
    return imported(source, where / "data", split)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_pictures_are_the_same_dataset_however_they_lie(layout, first, tmp_path):
    source, split = LAYOUTS[layout](tmp_path / "in")
    made = imported(source, tmp_path / "data", split)
    assert made.digest == first.digest and verify_dataset(tmp_path / "data/mine")
    assert made.class_names == ("ant", "bee", "sub/cat", "dog", "elk", "fox", "gnu")
    assert dict(made.splits) == {"train": (0, 1, 2), "val": (3, 4), "test": (5, 6)}
    assert made.pixels.shape == (21, 8, 8, 3)
    assert (made.pixels[3] == 20).all() and (made.pixels[20] == 72).all()
    assert (made.description["title"], made.description["notes"], made.partial) == ("mine", [], False)


def test_pictures_of_any_kind_are_stored_as_a_viewer_shows_them(tmp_path):
    turned = Image.fromarray(np.repeat(np.uint8([[0], [255]]), 2, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    content = files() | {"split.json": json.dumps(SPLIT), "readme.txt": "mine", "ant/notes.txt": "no picture"}
    content |= {"ant/0.png": file.getvalue(), "ant/1.png": picture((0, 0, 0, 0), "RGBA"), "ant/2.png": picture(7, "L")}
    content |= {"ant/3.jpg": picture((9, 9, 9), suffix="JPEG"), "ant/4.webp": picture((11, 11, 11), suffix="WEBP")}
    made = imported(folder(content, tmp_path / "in"), tmp_path / "data", size=2, grey=True)
    assert made.pixels[:3, :, :, 0].tolist() == [[[255, 255], [0, 0]], [[255, 255], [255, 255]], [[7, 7], [7, 7]]]
    assert abs(made.pixels[3].astype(int) - 9).max() < 3 and abs(made.pixels[4].astype(int) - 11).max() < 3
    assert made.description["notes"] == ["2 files that are no pictures were left out: notes.txt, readme.txt"]


def without(*names, **more):
    return {name: data for name, data in files().items() if not name.startswith(names)} | {
        "split.json": json.dumps(SPLIT)
    } | more  # fmt: skip


def splits(text, name="split.json"):
    return files() | {name: text}


WRONG = {
    "nothing": ({"a.txt": ""}, "{in} holds no picture (.png, .jpg, .jpeg, .bmp, .webp)"),
    "no split": (files(), "{in} does not say which classes are for meta-training, validation and test (ant, bee, dog "
        "and 4 more): put a split.json or split.csv beside the classes, name one with --split, or put the classes into "
        "the folders train, val and test"),
    "twice in a file": (splits(json.dumps(SPLIT | {"test": ["fox", "gnu", "ant"]})),
        "{in}: split.json: the class 'ant' is in train and in test; a class is in one split, once"),
    "twice in a CSV": (splits(CSV + "elk,val\n", "split.csv"),
        "{in}: split.csv: the class 'elk' is twice in val; a class is in one split, once"),
    "twice in folders": (files(by_split=True) | {"test/ant/9.png": picture((1, 1, 1))},
        "{in}: the class 'ant' is in train and in test"),
    "no JSON": (splits("{"), '{in}: split.json is no split file: wanted is a JSON object {"train": [classes], "val": '
        '[...], "test": [...]}'),
    "no columns": (splits("name,part\n", "split.csv"),
        "{in}: split.csv is no split file: wanted is a CSV with the columns class,split"),
    "another split": (splits(json.dumps(SPLIT | {"dev": ["hen"]})),
        "{in}: split.json: unknown 'dev'; known: test, train, val"),
    "class missing": (without("fox/"), "{in} has no pictures of classes of the split: fox"),
    "class too many": (without(**{"hen/1.png": picture((1, 1, 1))}), "{in}: classes that are in no split: hen"),
    "loose picture": (without(**{"1.png": picture((1, 1, 1))}), "{in}: pictures in no folder of a class: 1.png"),
    "one class": (splits(json.dumps(SPLIT | {"val": ["dog"], "train": [*SPLIT["train"], "elk"]})),
        "{in}: classes in val: 1, and a task needs at least 2"),
    "one picture": (without("gnu/1", "gnu/2"), "{in}: the class gnu has only the picture gnu/0.png, and a task needs "
        "at least 2: one to learn from and one to be asked"),
    "unreadable": (without(**{"ant/1.png": b"\x89PNG\r\n\x1a\n"}),
        "{in}: ant/1.png is truncated, corrupt or no PNG or JPEG or BMP or WEBP image (not recognised)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_that_names_it_and_nothing_is_left(case, tmp_path):
    content, message = WRONG[case]
    with pytest.raises(RequestError) as caught:
        imported(folder(content, tmp_path / "in"), tmp_path / "data")
    assert str(caught.value) == message.replace("{in}", str(tmp_path / "in"))
    assert not (tmp_path / "data/mine").exists() and not list((tmp_path / "data").glob(".*"))


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("cub", 8, "--name must be small letters, digits and _, and omniglot, miniimagenet, cub are taken, got 'cub'"),
        ("../mine", 8, "--name must be small letters, digits and _, got '../mine'"),
        ("mine", 0, "--size must be 1 to 512 pixels, got 0"),
    ],
)
def test_an_impossible_name_or_size_is_refused(name, size, message, tmp_path):
    with pytest.raises(RequestError) as caught:
        import_folders(name, tmp_path, tmp_path, size=size, grey=False)
    assert str(caught.value) == message


def test_its_tasks_are_drawn_like_those_of_any_images(first, tmp_path):
    data = tmp_path
    source, split = LAYOUTS["folders of splits"](tmp_path / "in")
    imported(source, data, split)
    benchmark = OwnImageTasks(dataset="mine", size=8, ways=2, shots=1, queries=2)
    tasks = benchmark.open(data)
    episode = tasks.gather(TaskStream(tasks, 0, split=Split.TEST).tasks(0, 5))
    assert episode.support_x.shape == (1, 5, 2, *benchmark.shape.x)
    assert ((episode.query_x * 255).round() >= 60).all(), "of the test classes alone"
    assert tasks.digests()["dataset"] == first.digest
    for options, message in (
        ({"ways": 3}, "mine has 2 val classes, too few for tasks of 3; ask for smaller tasks or import more of it"),
        ({"shots": 2}, "mine has 3 train images in a class, too few for tasks of 4; "
                       "ask for smaller tasks or import more of it"),
        ({"size": 84}, "mine was imported with size: 8, grey: false, and the benchmark says size: 84, grey: false; "
                       "let them agree"),
        ({"dataset": "other"}, f"{data / 'other'} holds no imported dataset: oplstm data import FOLDER --name other"),
    ):  # fmt: skip
        options = {"dataset": "mine", "size": 8, "ways": 2, "queries": 2} | options
        with pytest.raises(RequestError) as caught:
            OwnImageTasks(**options).open(data)
        assert str(caught.value) == message


def test_what_a_job_says_of_it_is_checked():
    problems = Problems()
    values = {"dataset": "../mine", "size": 9999, "ways": 1, "cross_domain": ["cub", "mine"]}
    assert build(OwnImageTasks, values, problems) is None
    assert problems.lines() == [
        "ways: must be >= 2, got 1",
        "size: must be 1 to 512, got 9999",
        "dataset: must match [a-z][a-z0-9_]{0,63}, got '../mine'",
        "cross_domain: cub is a benchmark of its own: benchmark: {name: cub}",
    ]
    assert build(OwnImageTasks, {}, problems := Problems()) is None and problems.lines() == ["dataset: is required"]
    assert OwnImageTasks(dataset="mine", cross_domain=("other",)).cross() == {"other": OwnImageTasks(dataset="other")}
