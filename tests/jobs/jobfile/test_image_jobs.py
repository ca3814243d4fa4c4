"""The jobs on images: each is executed, shortened, on made-up pictures; the whole path across domains."""

import pytest

from oplstm.training.device import Device
from tests.jobs.jobfile.jobs_that_ship import ONE_OF_EACH_KIND_ON_IMAGES, trains_its_first
from tests.oplstm.episodes.datasets.made_up import imported

SMALL = {
    "published-miniimagenet-lstm": ("widths=[64,64]",),
    "cub-lstm": ("enqueue=[]", "widths=[64,64]"),
    "protonet": ("fixed.train_ways=2",),
}
"""What would take long, or have more ways than there are; by a part of a job's name."""
TINY = ("ways=2", "shots=1", "train_shots=1", "queries=1", "meta_batch_size=2", "validation_tasks=2", "test_tasks=2")


@pytest.fixture(scope="module")
def tiny_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("omniglot", "miniimagenet", "cub"):
        imported(name, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH_KIND_ON_IMAGES)
def test_a_job_on_images_trains_its_first_configuration(name, tmp_path, tiny_images):
    small = [setting for part, settings in SMALL.items() if part in name for setting in settings]
    trains_its_first(name, 1, tmp_path, Device(data=tiny_images), (*TINY, *small))
