"""The lists that ship: counts, order, names; against the lists they were made from where those are."""

import csv
import json
from collections import Counter

import pytest

from oplstm.episodes.datasets.class_lists import DATASETS, SPLITS, class_list
from oplstm.errors import RequestError

COUNTS = {
    "omniglot": ({"train": 1028, "val": 172, "test": 423}, 32460),
    "miniimagenet": ({"train": 64, "val": 16, "test": 20}, 60000),
    "cub": ({"train": 100, "val": 50, "test": 50}, 11788),
}


@pytest.mark.parametrize("name", DATASETS)
def test_counts_and_order(name):
    listed = class_list(name)
    per_split, images = COUNTS[name]
    assert Counter(a_class.split for a_class in listed.classes) == per_split
    stems = [stem for a_class in listed.classes for stem in a_class.images]
    assert len(stems) == len(set(stems)) == images
    keys = [(SPLITS.index(a_class.split), a_class.name) for a_class in listed.classes]
    assert keys == sorted(set(keys))
    assert all(list(a_class.images) == sorted(a_class.images) for a_class in listed.classes)
    assert len(listed.class_names) == len(listed.classes)


@pytest.mark.parametrize("name", DATASETS)
def test_source_split_and_licence_are_named(name):
    assert all(class_list(name).about[key] for key in ("source", "split", "licence"))


def test_images_a_class():
    assert {len(c.images) for c in class_list("omniglot").classes} == {20}
    assert {len(c.images) for c in class_list("miniimagenet").classes} == {600}
    assert {c.name: c.images[:2] for c in class_list("omniglot").classes}["Futurama/character02"] == (
        "0326_01",
        "0326_02",
    )


def test_a_dataset_that_does_not_exist_is_refused():
    with pytest.raises(RequestError, match="unknown dataset 'omniglott'; did you mean 'omniglot'"):
        class_list("omniglott")


def test_titles_say_what_is_absent():
    cub, omniglot = class_list("cub"), class_list("omniglot")
    by_number = sorted(cub.classes, key=lambda c: c.name)
    assert cub.title_of(cub.classes) == "CUB-200-2011"
    assert cub.title_of(tuple(by_number[:50])) == "CUB, first 50 classes"
    assert cub.title_of(tuple(by_number[1:51])) == "CUB, 50 of 200 classes"
    assert omniglot.title_of(omniglot.classes[:5]) == "Omniglot, 5 of 1623 classes"


@pytest.mark.integration
@pytest.mark.parametrize("name", DATASETS)
def test_lists_are_those_they_were_made_from(name, real_data):
    lists = real_data / "splits"
    wanted, names = {}, None
    for split in SPLITS:
        if name == "omniglot":
            lines = (lists / "omniglot_vinyals_snell" / f"{split}.txt").read_text().split()
            classes = {line.rpartition("/")[0] for line in lines}
        elif name == "cub":
            classes = set(json.loads((lists / "cub_torchmeta" / f"{split}.json").read_text()))
        else:
            with (lists / "miniimagenet_ravi" / f"{split}.csv").open() as file:
                rows = [(row["label"], row["filename"]) for row in csv.DictReader(file)]
            classes = {label for label, _ in rows}
            names = (names or set()) | set(rows)
        wanted |= dict.fromkeys(classes, split)
    if name == "cub":
        lines = (lists / "cub_lists" / "images.txt").read_text().splitlines()
        names = {tuple(line.split()[1].split("/")) for line in lines}
    assert {c.name: c.split for c in class_list(name).classes} == wanted
    if names is not None:
        assert {(c.name, f"{stem}.jpg") for c in class_list(name).classes for stem in c.images} == names
