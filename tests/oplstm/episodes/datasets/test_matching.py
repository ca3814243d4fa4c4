"""Every image of every class, once, in its place; one line says what is wrong otherwise."""

import csv
import io

import pytest

from oplstm.episodes.datasets.class_lists import DATASETS, SPLITS
from oplstm.episodes.datasets.matching import match, some
from oplstm.episodes.datasets.members import Member
from oplstm.errors import RequestError

from .made_up import files, tiny


class Files:
    """A source in memory."""

    def __init__(self, found):
        self.found = found

    def members(self):
        return [Member(path, len(data)) for path, data in self.found.items()]

    def read(self, wanted):
        return ((path, self.found[path]) for path in wanted)

    def close(self):
        pass


def matched(name, found, tmp_path, partial=False):
    return match(tiny(name), Files(found), tmp_path, partial=partial)


def refused(name, found, tmp_path, words, partial=False):
    with pytest.raises(RequestError, match=words) as caught:
        matched(name, found, tmp_path, partial)
    [line] = caught.value.problems
    assert str(tmp_path) in line
    assert "\n" not in line


def renamed(found, old, new):
    return {path.replace(old, new): data for path, data in found.items()}


@pytest.mark.parametrize("name", DATASETS)
def test_every_image_has_its_place(name, tmp_path):
    result = matched(name, files(tiny(name)), tmp_path)
    stems = [stem for a_class in tiny(name).classes for stem in a_class.images]
    by_slot = sorted(result.slots, key=result.slots.__getitem__)
    assert [path.rpartition("/")[2].rpartition(".")[0] for path in by_slot] == stems
    assert sorted(result.slots.values()) == list(range(len(stems)))
    assert result.classes == tiny(name).classes
    assert result.strays == ()


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_nesting_does_not_matter(name, depth, tmp_path):
    found = {"x/" * depth + path: data for path, data in files(tiny(name)).items()}
    assert len(matched(name, found, tmp_path).slots) == 18


def test_omniglot_without_its_two_folders(tmp_path):
    found = {path.partition("/")[2]: data for path, data in files(tiny("omniglot")).items()}
    assert len(matched("omniglot", found, tmp_path).slots) == 18


def test_omniglot_is_not_confused_by_its_small_copies(tmp_path):
    found = files(tiny("omniglot"))
    found |= renamed(found, "images_background", "images_background_small1")
    assert len(matched("omniglot", found, tmp_path).slots) == 18


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png"])
def test_miniimagenet_in_one_folder(suffix, tmp_path):
    found = renamed(files(tiny("miniimagenet"), flat=True), ".jpg", suffix)
    assert len(matched("miniimagenet", found, tmp_path).slots) == 18
    for split in SPLITS:
        del found[f"{split}.csv"]
    assert len(matched("miniimagenet", found, tmp_path).slots) == 18


def test_miniimagenet_without_split_folders(tmp_path):
    found = {path.partition("/")[2]: data for path, data in files(tiny("miniimagenet")).items()}
    assert len(matched("miniimagenet", found, tmp_path).slots) == 18


def test_other_lists_of_miniimagenet_are_refused(tmp_path):
    found = files(tiny("miniimagenet"), flat=True)
    first = next(csv.reader(io.StringIO(found["val.csv"].decode().split("\n", 1)[1])))[0]
    short = found["val.csv"].replace(f"{first},".encode(), b"n0185567299999999.jpg,")
    for path, data, words in [
        ("val.csv", short, f"val.csv is not the list.*does not list {first[:-4]}"),
        ("val.csv", found["val.csv"] + b"n0100000000000001.jpg,n01000000\n", "it lists n0100000000000001"),
        ("train.csv", found["test.csv"], "train.csv is not the list of miniImageNet's train classes"),
        ("test.csv", b"\x80\x03", "test.csv is no list with the columns filename and label"),
        ("test.csv", b"file,class\na,b\n", "test.csv is no list with the columns filename and label"),
        ("test.csv", b"filename,label\nn01930112\n", "test.csv is"),
    ]:
        refused("miniimagenet", found | {path: data}, tmp_path, words)


@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_class_is_named(name, tmp_path):
    lost = tiny(name).classes[2].name
    found = {path: data for path, data in files(tiny(name)).items() if f"/{lost}/" not in path}
    words = rf"1 of the 6 classes of .* are missing \({lost}\); --partial"
    refused(name, found, tmp_path, words)
    partial = matched(name, found, tmp_path, partial=True)
    assert [c.name for c in partial.classes] == [c.name for c in tiny(name).classes if c.name != lost]
    assert sorted(partial.slots.values()) == list(range(15))


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_image_is_named(name, partial, tmp_path):
    a_class = tiny(name).classes[3]
    found = {path: data for path, data in files(tiny(name)).items() if a_class.images[1] not in path}
    words = rf"1 of the 3 images of the class {a_class.name} are missing \({a_class.images[1]}\)"
    refused(name, found, tmp_path, words, partial)


@pytest.mark.parametrize("name", DATASETS)
def test_a_misnamed_image_is_named(name, tmp_path):
    a_class = tiny(name).classes[0]
    found = renamed(files(tiny(name)), a_class.images[1], "misnamed")
    refused(name, found, tmp_path, rf"missing \({a_class.images[1]}\); not listed, but there: misnamed")


@pytest.mark.parametrize("name", DATASETS)
def test_an_image_that_is_there_twice_is_named(name, tmp_path):
    found = files(tiny(name))
    path = next(path for path in found if tiny(name).classes[0].images[0] in path)
    refused(name, found | {f"copy/{path}": b""}, tmp_path, f"{tiny(name).classes[0].images[0]} is there twice")


@pytest.mark.parametrize("name", DATASETS)
def test_an_image_in_the_folder_of_another_class_is_named(name, tmp_path):
    here, there = tiny(name).classes[0], tiny(name).classes[1]
    found = files(tiny(name))
    path = next(path for path in found if here.images[0] in path)
    moved = {
        key.replace(f"/{here.name}/", f"/{there.name}/") if key == path else key: data for key, data in found.items()
    }
    refused(name, moved, tmp_path, f"{here.images[0]}.* {here.name} and lies in (another folder|the folder of another)")


def test_a_class_of_omniglot_in_a_misnamed_folder_is_named(tmp_path):
    found = renamed(files(tiny("omniglot")), "_Magi", "_Magic")
    refused("omniglot", found, tmp_path, "as an image of Alphabet_of_the_Magi/character01 and lies in another folder")


def test_a_class_in_the_wrong_split_is_named(tmp_path):
    name = tiny("miniimagenet").classes[2].name
    found = renamed(files(tiny("miniimagenet")), f"val/{name}", f"train/{name}")
    refused("miniimagenet", found, tmp_path, f"lies in train, but {name} is a class of val")


@pytest.mark.parametrize("name", ["omniglot", "miniimagenet"])
def test_an_image_too_many_in_a_class_is_named(name, tmp_path):
    found = files(tiny(name))
    path = next(path for path in found if tiny(name).classes[4].images[0] in path)
    extra = path.replace(tiny(name).classes[4].images[0], "extra")
    words = rf"the class {tiny(name).classes[4].name} has 1 not listed beside its 3 images \(extra"
    refused(name, found | {extra: b""}, tmp_path, words)


def test_an_image_too_many_in_one_folder_is_named(tmp_path):
    found = files(tiny("miniimagenet"), flat=True)
    name = tiny("miniimagenet").classes[4].name
    refused("miniimagenet", found | {f"images/{name}99999999.jpg": b""}, tmp_path, f"the class {name} has 1 not listed")


def test_strays_of_cub_are_dropped_and_counted(tmp_path):
    found = files(tiny("cub"))
    paths = [path.replace(".jpg", "_rgb.jpg") for path in found if path.endswith(".jpg")][:2]
    result = matched("cub", found | dict.fromkeys(paths, b""), tmp_path)
    assert result.strays == tuple(sorted(paths))
    assert not set(paths) & set(result.slots)


def test_other_images_beside_the_classes_are_left_out(tmp_path):
    for name in DATASETS:
        suffix = tiny(name).suffixes[0]
        result = matched(name, files(tiny(name)) | {f"docs/logo{suffix}": b"", "__MACOSX/x.png": b""}, tmp_path)
        assert result.strays == (f"docs/logo{suffix}",)


def test_nothing_of_the_dataset_is_said(tmp_path):
    refused("omniglot", {"a.txt": b""}, tmp_path, "holds no image of Omniglot, such as Alphabet_of_the_Magi/char")
    refused("omniglot", {"images.zip": b""}, tmp_path, "it holds images.zip: unpack that or name it")
    refused("omniglot", {}, tmp_path, "holds no image", partial=True)


def test_names_of_imagenet_itself_are_refused_with_those_that_are_wanted(tmp_path):
    a_class = tiny("miniimagenet").classes[0]
    hint = f"n01532829_1234.JPEG is a name of ILSVRC-2012's own, wanted is such as {a_class.images[0]}.jpg: docs"
    refused("miniimagenet", {"n01532829/n01532829_1234.JPEG": b"", "n01532829/n01532829_77.JPEG": b""}, tmp_path, hint)
    mixed = files(tiny("miniimagenet")) | {f"train/{a_class.name}/n01532829_1234.JPEG": b""}
    refused("miniimagenet", mixed, tmp_path, hint)
    del mixed[next(path for path in mixed if a_class.images[0] in path)]
    refused("miniimagenet", mixed, tmp_path, f"not listed, but there: n01532829_1234.JPEG; {hint}")
    refused("omniglot", {"n01532829_1234.JPEG": b""}, tmp_path, r"character01/\w+\.png$")


def test_a_folder_of_pickles_is_refused(tmp_path):
    found = {f"mini-imagenet-cache-{split}.pkl": b"" for split in SPLITS}
    refused("miniimagenet", found, tmp_path, "cache-test.pkl.*is a pickled distribution")


def test_some():
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some("abcdef") == "a, b, c and 3 more"
