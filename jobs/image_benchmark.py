"""Meta-training on images, one core, one run alone and packed: ``python -m jobs.image_benchmark``.

Random pixels in the sizes of Omniglot (fully-connected network) and, with ``--conv4``, of miniImageNet (Conv-4): the
time does not depend on what they show. Processor time is counted, not the clock on the wall.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from jobs.benchmark import machine, seconds_per_call
from oplstm.episodes.datasets.class_lists import SPLITS, class_list
from oplstm.episodes.datasets.store import PIXELS, write_description
from oplstm.episodes.episode import stack_runs
from oplstm.training.allocator import keep_freed_memory
from oplstm.training.evaluation import evaluate
from oplstm.training.pack import Device, Pack
from oplstm.training.run import RunConfig

VALIDATE_EVERY, VALIDATION_TASKS, SAMPLED_TASKS = 2500, 600, 20
FLAT = {"base_widths": [256, 128, 64, 64], "batch_norm": True}
CONV4 = {"backbone": "conv4", "base_widths": []}
SETTINGS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "omniglot": {
        "OP-LSTM": ("op_lstm", FLAT | {"cells": [5, 5, 1], "passes": 1}),
        "ProtoNet": ("protonet", FLAT),
        "MAML": ("maml", FLAT | {"passes": 1, "eval_passes": 3, "inner_lr": 0.4}),
        "LSTM": ("lstm", {"widths": [128], "passes": 1}),
    },
    "miniimagenet": {
        "OP-LSTM": ("op_lstm", CONV4 | {"cells": [40, 20, 1], "passes": 3}),
        "ProtoNet": ("protonet", CONV4),
        "MAML": ("maml", CONV4 | {"passes": 5, "inner_lr": 0.01}),
        "LSTM": ("lstm", {"backbone": "conv4", "widths": [200], "passes": 3}),
    },
}
"""Published configurations with meta-batch size 4, but for the LSTM, which is a small one."""


@dataclass(frozen=True)
class Row:
    """What was measured.

    Attributes:
        dataset: Whose sizes.
        learner: As in the paper.
        runs: Trained side by side.
        tasks_per_second: Training tasks of all runs.
        ms_per_update: Milliseconds a meta-update.
        sampling: Share of it that drawing tasks and gathering pixels takes.
        validation: Time of one meta-validation (600 tasks) over that of the 2,500 updates between two.
    """

    dataset: str
    learner: str
    runs: int
    tasks_per_second: float
    ms_per_update: float
    sampling: float
    validation: float


def random_pixels(name: str, data: Path) -> None:
    """A dataset of noise below ``data`` with the classes and sizes of the dataset ``name``, at most 60 images each."""
    listed = class_list(name)
    counts = [min(len(one.images), 60) for one in listed.classes]
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


def pack_of(dataset: str, learner: str, config: dict[str, Any], runs: int, data: Path) -> Pack:
    """``runs`` runs that differ in their seeds."""
    run = {
        "learner": learner, "hyperparameters": config, "benchmark": {"name": dataset}, "meta_batch_size": 4,
        "budget": {"updates": 80_000, "validate_every": VALIDATE_EVERY, "validation_tasks": SAMPLED_TASKS},
        "lr": 2.5e-4, "evaluation_seed": 0,
    }  # fmt: skip
    configs = [RunConfig.from_dict({**run, "seed": seed}) for seed in range(runs)]
    return Pack(configs, [f"run-{seed}" for seed in range(runs)], Device(data=data))


def measure(dataset: str, learner: str, runs: int, seconds: float, data: Path) -> Row:
    """One row."""
    pack = pack_of(dataset, *SETTINGS[dataset][learner], runs, data)
    pack.step()
    update = seconds_per_call(pack.step, seconds)
    batches = iter(range(10**9))

    def draw() -> None:
        index = next(batches)
        pack.tasks.gather(stack_runs([stream.batch(index, 4) for stream in pack._streams]))

    began, count = time.process_time(), 128  # whole blocks of tasks, the unit that is drawn
    for _ in range(count):
        draw()
    drawing = (time.process_time() - began) / count
    params, tasks = pack.params(pack.state.weights), pack._streams[0].tasks(0, SAMPLED_TASKS)
    one = seconds_per_call(lambda: evaluate(pack.learner, params, tasks, pack.tasks), 0.0) / SAMPLED_TASKS
    validation = one * VALIDATION_TASKS / (VALIDATE_EVERY * update)
    return Row(dataset, learner, runs, 4 * runs / update, 1e3 * update, drawing / update, validation)


@click.command()
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the rows there.")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(min=0.001), help="Per row.")
@click.option("--runs", default=(1, 8), show_default=True, multiple=True, type=click.IntRange(min=1), help="In a pack.")
@click.option("--conv4", is_flag=True, help="Also at the sizes of miniImageNet: minutes, and gigabytes of memory.")
def main(json_file: Path | None, seconds: float, runs: tuple[int, ...], conv4: bool) -> None:
    """Measure meta-training on images, on one core."""
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for dataset in ("omniglot", *(("miniimagenet",) if conv4 else ())):
            random_pixels(dataset, Path(folder))
            rows += [measure(dataset, name, size, seconds, Path(folder)) for name in SETTINGS[dataset] for size in runs]
    Console(width=110).print(table(rows))
    if json_file is not None:
        document = {"version": 1, "machine": machine(), "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(document, indent=1))


def table(rows: list[Row]) -> Table:
    """The rows for a person."""
    grid = Table(title="Meta-training on one core, 5-way 1-shot, 15 queries a class, meta-batch size 4, random pixels")
    form: dict[str, Callable[[Any], str]] = {
        "dataset": str, "learner": str, "runs": str, "tasks_per_second": "{:.4g}".format,
        "ms_per_update": "{:.1f}".format, "sampling": "{:.1%}".format, "validation": "{:.1%}".format,
    }  # fmt: skip
    for heading in form:
        grid.add_column(heading.replace("_", " "))
    for row in rows:
        grid.add_row(*(show(getattr(row, name)) for name, show in form.items()))
    return grid


if __name__ == "__main__":
    main()
