"""Images: the fully-connected network at Omniglot's sizes, Conv-4 at miniImageNet's, on random pixels.

The time does not depend on what the pictures show.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from oplstm.episodes.datasets.class_lists import SPLITS, class_list
from oplstm.episodes.datasets.store import PIXELS, write_description
from tests.benchmark.comparison import compare
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting

OMNIGLOT_PACKS, CONV4_PACKS = (1, 8, 64, 256), (1, 2, 8, 64, 256)
META_BATCH_SIZE = 4
CPU_META_BATCH_SIZE = 1
"""Of Conv-4 on a CPU, where four tasks would take 3.5 GiB and a run alone a quarter of a minute an update."""

FLAT = {"base_widths": [256, 128, 64, 64], "batch_norm": True}
CONV4 = {"backbone": "conv4", "base_widths": []}
OMNIGLOT_LEARNERS: dict[str, dict[str, Any]] = {
    "op_lstm": FLAT | {"cells": [5, 5, 1], "passes": 1},
    "protonet": FLAT,
    "maml": FLAT | {"passes": 1, "eval_passes": 3, "inner_lr": 0.4},
    "lstm": {"widths": [128], "passes": 1},
}
"""Published configurations, but for the LSTM, which is a small one; so are those on Conv-4."""
CONV4_LEARNERS: dict[str, dict[str, Any]] = {
    "op_lstm": CONV4 | {"cells": [40, 20, 1], "passes": 3},
    "protonet": CONV4,
    "maml": CONV4 | {"passes": 5, "inner_lr": 0.01},
    "lstm": {"backbone": "conv4", "widths": [200], "passes": 3},
}


def settings(dataset: str, learners: dict[str, dict[str, Any]], meta_batch_size: int) -> list[Setting]:
    """The learners on 5-way 1-shot tasks."""
    budget = {"updates": 80_000, "validate_every": 2500, "validation_tasks": 600, "test_tasks": 600}
    return [
        Setting(
            learner=learner,
            hyperparameters=hyperparameters,
            benchmark={"name": dataset},
            meta_batch_size=meta_batch_size,
            lr=2.5e-4,
            budget=budget,
            kinds=("nn.LSTM",) if hyperparameters.get("backbone") and "lstm" in learner else None,  # cells are a trifle
        )
        for learner, hyperparameters in learners.items()
    ]


def random_pixels(name: str, data: Path, images: int = 60) -> None:
    """A dataset of noise below ``data`` with the classes and sizes of the dataset ``name``, at most ``images`` each."""
    listed = class_list(name)
    counts = [min(len(one.images), images) for one in listed.classes]
    shape = (sum(counts), *listed.size, listed.channels)
    (data / name).mkdir(parents=True)
    np.save(data / name / PIXELS, np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    description = {
        "name": name, "title": f"noise of the size of {listed.title}", "partial": True, "shape": list(shape),
        "class_names": [one.name for one in listed.classes], "class_starts": [0, *np.cumsum(counts).tolist()],
        "splits": {split: [i for i, one in enumerate(listed.classes) if one.split == split] for split in SPLITS},
        "decoder": "none", "notes": [],
    }  # fmt: skip
    write_description(data / name, description)


@contextmanager
def on_noise(bench: Bench, dataset: str, images: int = 60) -> Iterator[Bench]:
    """The bench with random pixels in place of the dataset, at most ``images`` a class."""
    with tempfile.TemporaryDirectory() as folder:
        bench.progress(f"{dataset}: random pixels")
        random_pixels(dataset, Path(folder), images)
        yield replace(bench, place=replace(bench.place, data=Path(folder)))


def omniglot(bench: Bench, packs: Sequence[int] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table."""
    with on_noise(bench, "omniglot") as bench:
        rows = [
            asdict(row)
            for setting in settings("omniglot", OMNIGLOT_LEARNERS, META_BATCH_SIZE)
            for row in compare(setting, packs or OMNIGLOT_PACKS, bench)
        ]
    title = f"Fully-connected network at Omniglot's sizes, 5-way 1-shot, meta-batch size {META_BATCH_SIZE}"
    return [(title, rows)]


def conv4(bench: Bench, packs: Sequence[int] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table."""
    meta_batch_size = META_BATCH_SIZE if bench.on_cuda else CPU_META_BATCH_SIZE
    found = settings("miniimagenet", CONV4_LEARNERS, meta_batch_size)
    with on_noise(bench, "miniimagenet") as bench:
        rows = [asdict(row) for setting in found for row in compare(setting, packs or CONV4_PACKS, bench)]
    return [(f"Conv-4 at miniImageNet's sizes, 5-way 1-shot, meta-batch size {meta_batch_size}", rows)]
