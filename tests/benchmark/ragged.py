"""Runs of different meta-batch sizes and T: one by one, in a pack a meta-batch size, and all in one pack."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting
from tests.benchmark.sine import LSTM, OP_LSTM

META_BATCH_SIZES = (1, 4, 8, 16, 32)
GRIDS: tuple[tuple[Setting, Sequence[int]], ...] = ((LSTM, (2, 3, 5, 10)), (OP_LSTM, (1, 3, 5, 10)))
"""Learner and T. The authors' LSTM sees no label in its first pass, so it makes two or more."""


class Together:
    """Packs that make their meta-updates one after the other."""

    def __init__(self, packs: Sequence[Pack]) -> None:
        self._packs = packs

    def step(self) -> None:
        """One meta-update of every run."""
        for pack in self._packs:
            pack.step()


def grid(setting: Setting, passes: Sequence[int], sizes: Sequence[int] = META_BATCH_SIZES) -> list[RunConfig]:
    """A run for each meta-batch size and T."""
    return [
        replace(setting, meta_batch_size=size, hyperparameters={**setting.hyperparameters, "passes": count}).run(seed)
        for seed, (size, count) in enumerate(product(sizes, passes))
    ]


def arrangements(runs: Sequence[RunConfig], bench: Bench) -> Mapping[str, Together]:
    """The ways to train the runs."""
    sizes = dict.fromkeys(run.meta_batch_size for run in runs)
    groups = {
        "one by one": [[run] for run in runs],
        "a pack a meta-batch size": [[run for run in runs if run.meta_batch_size == size] for size in sizes],
        "one pack": [list(runs)],
    }
    return {
        name: Together([Pack(group, [str(run.seed) for run in group], bench.place) for group in packs])
        for name, packs in groups.items()
    }


def sections(bench: Bench) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table: seconds in which every run of the grid makes one meta-update."""
    rows = []
    for setting, passes in GRIDS:
        bench.progress(f"{setting.learner}: runs of different B and T")
        runs = grid(setting, passes)
        taken = bench.take_turns(arrangements(runs, bench))
        alone = taken["one by one"]
        rows += [
            {
                "learner": setting.learner,
                "runs": len(runs),
                "packs": name,
                "seconds": statistics.median(own),
                "over_one_by_one": statistics.median(base / each for base, each in zip(alone, own, strict=False)),
            }
            for name, own in taken.items()
        ]
    return [("One meta-update of runs with 5 meta-batch sizes and 4 T", rows)]
