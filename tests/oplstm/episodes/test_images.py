"""N-way k-shot tasks of image datasets: what is drawn, without replacement, from where; and what is refused."""

from collections import Counter

import numpy as np
import pytest
import torch

from oplstm.configuration import Problems, build
from oplstm.episodes.datasets.class_lists import class_list
from oplstm.episodes.image_tasks import ImageTasks, resident
from oplstm.episodes.images import CUBTasks, MiniImageNetTasks, OmniglotTasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.errors import RequestError
from tests.oplstm.episodes.datasets.made_up import imported, tiny

DOUBLE, CPU = torch.float64, torch.device("cpu")
SPLITS = (Split.TRAIN, Split.VALIDATION, Split.TEST)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes a split with three images each, of all three datasets."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("omniglot", "miniimagenet", "cub"):
        imported(name, folder)
    return folder


def opened(data, **options) -> ImageTasks:
    return OmniglotTasks(**{"ways": 2, "shots": 1, "queries": 2} | options).open(data)


def drawn(tasks, split=Split.TRAIN, count=200):
    support_x, support_y, query_x, query_y = tasks.sample(np.random.default_rng(0), count, split)
    return support_x, support_y.argmax(2), query_x, query_y.argmax(2)


def class_of(tasks, places):
    turns, images = np.divmod(places, len(tasks.dataset.pixels))
    return turns * 100 + np.searchsorted(tasks.dataset.class_starts, images, side="right") - 1


@pytest.mark.parametrize("split", SPLITS)
def test_a_task_has_every_class_and_image_once(data, split):
    tasks = opened(data, ways=2, shots=1, queries=2)
    support, labels, query, query_labels = drawn(tasks, split)
    assert support.shape == (200, 2) and query.shape == (200, 4)
    places = np.concatenate([support, query], axis=1)
    assert all(len(set(row)) == 6 for row in places), "an image twice"
    for row in range(200):
        of = dict(zip(labels[row], class_of(tasks, support[row]), strict=True))
        assert len(set(of.values())) == 2
        assert set(of.values()) <= set(tasks.dataset.splits[split.classes])
        assert [of[label] for label in query_labels[row]] == list(class_of(tasks, query[row]))
        assert Counter(query_labels[row]) == {0: 2, 1: 2}


def test_labels_classes_and_images_are_uniform(data):
    """Neither the order of the classes nor their labels tells anything; each image is as likely as another."""
    tasks = opened(data, shots=1, queries=1)
    support, labels, _, _ = drawn(tasks, count=4000)
    first = class_of(tasks, support)[:, 0]
    seen = Counter(zip(first, labels[:, 0], support[:, 0] - tasks.dataset.class_starts[first], strict=True))
    assert len(seen) == 2 * 2 * 3
    assert max(abs(count - 4000 / 12) for count in seen.values()) < 5 * (4000 / 12) ** 0.5


def test_images_come_class_after_class(data):
    labels = drawn(opened(data, shots=2, queries=1))[1]
    assert (labels[:, 0] == labels[:, 1]).all() and (labels[:, 2] == labels[:, 3]).all()
    assert set(labels[:, 0]) == {0, 1}


def test_tasks_that_differ_in_shots_share_classes_labels_and_queries(data):
    one, two = (drawn(opened(data, shots=shots, queries=1)) for shots in (1, 2))
    np.testing.assert_array_equal(one[2], two[2])
    np.testing.assert_array_equal(one[3], two[3])
    np.testing.assert_array_equal(one[0], two[0][:, ::2])


def test_pixels_are_the_datasets_in_0_to_1(data):
    tasks = opened(data)
    episode = TaskStream(tasks, 3, split=Split.TEST, dtype=DOUBLE).tasks(5, 2)
    images = tasks.gather(episode)
    assert images.support_x.shape == (1, 2, 2, 1, 28, 28) and images.query_x.shape == (1, 2, 4, 1, 28, 28)
    assert images.support_x.dtype == DOUBLE and images.support_y is episode.support_y
    place = int(episode.query_x[0, 1, 3])
    expected = torch.from_numpy(tasks.dataset.pixels[place, :, :, 0] / 255)
    torch.testing.assert_close(images.query_x[0, 1, 3, 0], expected, rtol=0, atol=1e-15)


def test_colours_are_channels(data):
    tasks = MiniImageNetTasks(ways=2, queries=1).open(data)
    episode = TaskStream(tasks, 0, split=Split.TRAIN).tasks(0, 1)
    image = tasks.gather(episode).support_x[0, 0, 0]
    assert image.shape == (3, 84, 84)
    pixels = tasks.dataset.pixels[int(episode.support_x[0, 0, 0])]
    torch.testing.assert_close(image, torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(255)))


def test_turned_characters_are_classes_of_their_own(data):
    tasks = opened(data, ways=8, shots=1, queries=2, rotations=True)
    support = drawn(tasks)[0]
    assert all(len(set(row)) == 8 for row in class_of(tasks, support))
    episode = TaskStream(tasks, 0, split=Split.TRAIN).tasks(0, 1)
    images = tasks.gather(episode).support_x[0, 0, :, 0].numpy()
    turns, places = np.divmod(episode.support_x[0, 0].numpy(), len(tasks.dataset.pixels))
    assert set(turns) == {0, 1, 2, 3}
    for image, turn, place in zip(images, turns, places, strict=True):
        np.testing.assert_allclose(image, np.rot90(tasks.dataset.pixels[place, :, :, 0], turn) / 255, atol=1e-6)


def test_pixels_on_a_gpu_lie_as_places_count_them(data):
    tasks = opened(data, rotations=True)
    places = torch.arange(4 * len(tasks.dataset.pixels))
    turned = resident(tasks.dataset, torch.device("cpu"), 4)[places]
    images = tasks._images(places.view(1, 1, -1), torch.float64)[0, 0]
    torch.testing.assert_close(turned.movedim(-1, -3).double() / 255, images)


def test_inversion(data):
    plain, inverted = (
        tasks.gather(TaskStream(tasks, 0, split=Split.TRAIN, dtype=DOUBLE).tasks(0, 1)).support_x
        for tasks in (opened(data), opened(data, inversion=True))
    )
    torch.testing.assert_close(inverted, 1 - plain)


def test_meta_training_and_meta_test_may_differ_in_way_shot_and_queries(data):
    tasks = opened(data, ways=2, shots=1, queries=1, train_shots=2, test_queries="shots")
    sizes = {split: [part.shape[1] for part in drawn(tasks, split)[::2]] for split in SPLITS}
    assert sizes == {Split.TRAIN: [4, 2], Split.VALIDATION: [2, 2], Split.TEST: [2, 2]}
    assert drawn(opened(data, queries=2, test_queries="shots"), Split.TEST)[2].shape == (200, 2)
    wider = opened(data, train_ways=6, rotations=True)
    assert drawn(wider)[0].shape == (200, 6) and drawn(wider, Split.TEST)[0].shape == (200, 2)


@pytest.mark.parametrize(
    ("cls", "options", "line"),
    [
        (OmniglotTasks, {"ways": 1}, "ways: must be >= 2, got 1"),
        (OmniglotTasks, {"shots": 0}, "shots: must be >= 1, got 0"),
        (OmniglotTasks, {"shots": 6}, "shots: shots and queries together must be <= 20, the images of the "
                                      "smallest train class of Omniglot, got 21"),
        (OmniglotTasks, {"ways": 173}, "ways: must be <= 172, the val classes of Omniglot, got 173"),
        (MiniImageNetTasks, {"ways": 17}, "ways: must be <= 16, the val classes of miniImageNet, got 17"),
        (MiniImageNetTasks, {"train_ways": 65}, "train_ways: must be <= 64, the train classes of miniImageNet, got 65"),
        (CUBTasks, {"shots": 30}, "shots: shots and queries together must be <= 44, the images of the smallest train"),
        (MiniImageNetTasks, {"cross_domain": ["miniimagenet"]}, "cross_domain: unknown 'miniimagenet'"),
        (MiniImageNetTasks, {"cross_domain": ["omniglot"]}, "cross_domain: omniglot has images of another shape"),
    ],
)  # fmt: skip
def test_what_no_dataset_can_give_is_refused(cls, options, line):
    problems = Problems()
    assert build(cls, options, problems) is None
    assert len(problems.lines()) == 1
    assert problems.lines()[0].startswith(line)


def test_a_dataset_that_lacks_classes_is_refused_for_wider_tasks(data):
    with pytest.raises(RequestError, match=r"has 2 train classes, too few for tasks of 3"):
        opened(data, ways=3)
    with pytest.raises(RequestError, match=r"has 3 train images in a class, too few for tasks of 4"):
        opened(data, shots=2, queries=2)


def test_a_dataset_that_is_not_imported_is_named(tmp_path):
    with pytest.raises(RequestError, match="oplstm data import omniglot PATH"):
        OmniglotTasks().open(tmp_path)


def test_digests_name_the_dataset_and_its_split(data):
    tasks = opened(data)
    assert tasks.digests()["dataset"] == tasks.dataset.digest
    assert tasks.digests()["split"] == tiny("omniglot").split_digest, "a whole dataset has its list's split"
    assert len({class_list(name).split_digest for name in ("omniglot", "miniimagenet", "cub")}) == 3
    assert len({OmniglotTasks().digest(), OmniglotTasks(shots=2).digest(), MiniImageNetTasks().digest()}) == 3
