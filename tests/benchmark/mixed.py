"""LSTMs of different shapes, as the random search on sine proposes them: one by one, and side by side in one pack."""

import random
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from oplstm.learners.lstm_config import LSTMConfig
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from tests.benchmark.measuring import Bench
from tests.benchmark.ragged import Together
from tests.benchmark.sine import LSTM

RUNS = 64


def mixed_runs(count: int, seed: int = 0) -> list[RunConfig]:
    """Runs with the widths, depths, T, meta-batch sizes and options of the space ``sine-lstm``, drawn at random."""
    choice = random.Random(seed)
    return [_drawn(choice, number) for number in range(count)]


def _drawn(choice: random.Random, seed: int) -> RunConfig:
    config = LSTMConfig(
        widths=(choice.choice([1, 3, 8, 20, 40]),) * choice.randint(1, 4),
        passes=choice.randint(1, 14),
        pool_cell=choice.random() < 0.5,
        loss_on=choice.choice(["last", "every"]),
    )
    return replace(LSTM.run(seed), hyperparameters=config, meta_batch_size=choice.randint(1, 4))


def arrangements(bench: Bench, count: int) -> Mapping[str, Together]:
    """The ways to train the runs."""
    runs = mixed_runs(count)
    alone = [Pack([run], ["alone"], bench.place) for run in runs]
    return {
        "one by one": Together(alone),
        "side by side": Together([Pack(runs, [str(run.seed) for run in runs], bench.place)]),
    }


def rows(bench: Bench, count: int) -> list[dict[str, Any]]:
    """A row for each way to make one meta-update of every run."""
    contenders = {name: bench.warmed_up(lambda made=made: made)[0] for name, made in arrangements(bench, count).items()}
    taken = bench.take_turns(contenders)
    alone = taken["one by one"]
    return [
        {
            "learner": LSTM.learner,
            "runs": count,
            "packs": name,
            "seconds": statistics.median(own),
            "over_one_by_one": statistics.median(base / each for base, each in zip(alone, own, strict=False)),
        }
        for name, own in taken.items()
    ]


def sections(bench: Bench) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table."""
    bench.progress(f"{LSTM.learner}: {RUNS} runs of different shapes")
    return [(f"One meta-update of {RUNS} LSTMs of different shapes", rows(bench, RUNS))]
