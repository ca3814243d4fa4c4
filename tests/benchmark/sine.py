"""The published configurations (Table 1) on 5-shot sine regression."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from tests.benchmark.comparison import compare
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting

PACKS = (1, 8, 64, 256)
BENCHMARK = {"name": "sine", "shots": 5}
BUDGET = {"tasks": 70_000, "validate_every": 2500, "validation_tasks": 1000}

LSTM = Setting(
    learner="lstm",
    hyperparameters={"convention": "authors", "widths": [40, 40], "passes": 4},
    benchmark=BENCHMARK,
    meta_batch_size=4,
    lr=0.004674,
    budget=BUDGET,
    expected={1: 400, 64: 2200},
)
OP_LSTM = Setting(
    learner="op_lstm",
    hyperparameters={"convention": "authors", "base_widths": [91, 91, 91], "cells": [5, 5, 1], "passes": 9},
    benchmark=BENCHMARK,
    meta_batch_size=1,
    lr=0.001045,
    budget=BUDGET,
    expected={1: 13, 64: 80},
)
MAML = Setting(
    learner="maml",
    hyperparameters={"convention": "authors", "base_widths": [91, 91, 91], "passes": 14, "inner_lr": 0.003769},
    benchmark=BENCHMARK,
    meta_batch_size=2,
    lr=0.0032937,
    grad_clip=10.0,
    budget=BUDGET,
    expected={1: 60, 64: 330},
)


def of_paper(setting: Setting) -> Setting:
    """The same sizes by the paper's equations."""
    return replace(setting, hyperparameters={**setting.hyperparameters, "convention": "paper"})


SETTINGS = (LSTM, of_paper(LSTM), OP_LSTM, of_paper(OP_LSTM), MAML)


def sections(bench: Bench, packs: Sequence[int] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table."""
    rows = [asdict(row) for setting in SETTINGS for row in compare(setting, packs or PACKS, bench)]
    return [("Meta-training on 5-shot sine, published configurations", rows)]
