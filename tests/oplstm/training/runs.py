"""Small runs, and a listener that remembers what a pack reports."""

from dataclasses import dataclass, field

from oplstm.configuration import Problems
from oplstm.episodes.episode import Episode
from oplstm.training.pack import Pack
from oplstm.training.reports import Point, RunEnd
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


@dataclass
class Recorder:
    """Prunes and stops where it is told to."""

    prune: dict[int, set[str]] = field(default_factory=dict)
    stop_at: int | None = None
    join: dict[int, list[tuple[str, RunConfig]]] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    expired: dict[int, list[str]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    ends: dict[str, RunEnd] = field(default_factory=dict)
    update: int = 0

    def on_points(self, points):
        self.points += points
        return sorted(self.prune.get(points[0].update, ()))

    def on_ends(self, ends):
        self.ends |= {end.run: end for end in ends}

    def on_expired(self, update, runs):
        assert not set(runs) & set(self.ends), "it was told after it took effect"
        self.expired[update] = runs

    def joins(self, update, room):
        self.asked.append((update, room))
        return self.join.get(update, [])

    def settle(self):
        pass

    def on_progress(self, update, runs):
        self.update = update

    def should_stop(self):
        return self.stop_at is not None and self.update >= self.stop_at

    def metrics(self):
        """All points but the seconds, which are not reproducible."""
        return {
            (p.run, p.update): {k: v for k, v in p.metrics.items() if k != "train/tasks_per_second"}
            for p in self.points
        }
