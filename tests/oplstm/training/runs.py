"""Small runs, and the tasks that a pack draws next."""

from oplstm.configuration import Problems
from oplstm.episodes.episode import Episode
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig, build_run

LEARNERS = {
    "lstm": {"widths": [6, 5], "passes": 2},
    "lstm-authors": {"widths": [6, 5], "passes": 2, "convention": "authors"},
    "lstm-sequential": {"widths": [5], "passes": 2, "support": "sequential"},
    "op_lstm": {"base_widths": [7, 6], "cells": [3, 1], "passes": 3},
    "op_lstm-authors": {"base_widths": [7, 6], "cells": [3, 1], "passes": 3, "convention": "authors"},
    "maml": {"base_widths": [6, 5], "passes": 2, "inner_lr": 0.05},
}
BUDGET = {"tasks": 60, "validate_every": 20, "validation_tasks": 9, "test_tasks": 11, "max_hours": None}


def run(
    learner: str = "lstm",
    *,
    seed: int = 0,
    lr: float = 0.01,
    meta_batch_size: int = 2,
    precision: str = "float32",
    **changes,
) -> RunConfig:
    problems = Problems()
    budget = {**BUDGET, **{key: changes.pop(key) for key in list(changes) if key in (*BUDGET, "updates")}}
    if "updates" in budget:
        budget.pop("tasks")
    data = {
        "learner": learner.partition("-")[0],
        "hyperparameters": {**LEARNERS[learner], **changes},
        "benchmark": {"name": "sine", "shots": 3, "queries": 4},
        "budget": budget,
        "meta_batch_size": meta_batch_size,
        "lr": lr,
        "seed": seed,
        "evaluation_seed": 7,
        "precision": precision,
    }
    built = build_run(data, problems)
    assert built is not None, problems.lines()
    return built


def next_tasks(pack: Pack) -> Episode:
    """The tasks of the coming update in groups, ``(G, g, ...)``, images by their places."""
    feed = pack.meta_update.feed
    feed.prepare(pack.update, pack.updates)
    return feed.batch()
