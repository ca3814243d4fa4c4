"""The jobs on images: each is executed, shortened, on made-up pictures; the whole path across domains."""

import pytest

from oplstm.training.device import Device
from tests.jobs.jobfile.jobs_that_ship import ONE_OF_EACH_KIND_ON_IMAGES, trains_its_first
from tests.oplstm.episodes.datasets.made_up import imported

FEW = ("passes=1", "eval_passes=1")
SMALL = {
    "published-miniimagenet-lstm": ("widths=[64,64]",),
    "cub-lstm": ("enqueue=[]", "widths=[64,64]"),
    **{f"published-miniimagenet-{method}": FEW for method in ("maml", "warp-maml", "sap")},
    **{f"cub-{method}": ("enqueue=[]", *FEW) for method in ("maml", "warp-maml", "sap")},
}
"""What would take long on Conv-4."""
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
    ways = ("fixed.train_ways=2",) if "protonet" in name else ()  # no more than there are
    trains_its_first(name, 1, tmp_path, Device(data=tiny_images), (*TINY, *ways, *SMALL.get(name, ())))
