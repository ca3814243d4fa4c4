"""Final runs as a tracking server holds them: the published ones, and what one changes of them."""

from typing import Any

from oplstm.episodes.datasets.class_lists import class_list
from tracking.results.final_runs import FinalRun, TrackedRun

START_MS = 1_700_000_000_000
OMNIGLOT = class_list("omniglot").split_digest
SINE = {"benchmark.shots": "5", "benchmark.queries": "50", "budget.tasks": "70000", "budget.updates": "None"}
SINE |= {"budget.test_tasks": "2000", "meta_batch_size": "4", "parameters": "20201"}
IMAGES = {"benchmark.ways": "5", "benchmark.shots": "1", "benchmark.queries": "15", "benchmark.test_queries": "shots"}
IMAGES |= {"benchmark.train_ways": "None", "benchmark.train_shots": "None", "meta_batch_size": "4"}
IMAGES |= {"budget.tasks": "None", "budget.updates": "80000", "budget.test_tasks": "600", "parameters": "133182"}
SCORES = {"final/test_loss": 0.0391, "final/ci95_tasks": 0.0019, "final/ci95_seeds": 0.0123}
ACCURACIES = {"final/test_accuracy": 0.52, "final/ci95_tasks": 0.01, "final/ci95_seeds": 0.02}
CODE = {"mlflow.source.git.commit": "a" * 40, "oplstm.git_dirty": "false", "version.oplstm": "0.1.0"}


def final_run(
    name: str,
    *,
    seeds: int = 3,
    start: int = 0,
    labels: dict[str, str] | None = None,
    scores: dict[str, float] | None = None,
    params: dict[str, str | None] | None = None,
    tags: dict[str, str | None] | None = None,
    of_seed: dict[int, dict[str, str]] | None = None,
    tasks_seen: float = 70_000.0,
) -> FinalRun:
    """A final run of the LSTM on 5-shot sine, exactly the paper's, with these changes; None takes a fact away.

    Args:
        name: Of the final run.
        seeds: How many.
        start: Seconds after others.
        labels: Tags of all its runs, without ``oplstm.``.
        scores: Metrics of the parent.
        params: Of every seed.
        tags: Of every seed.
        of_seed: More tags or params of single seeds.
        tasks_seen: By each seed.
    """
    known = {"learner": "lstm", "benchmark": "sine", "shots": "5", "mode": "batched", "kind": "final"} | (labels or {})
    common = {f"oplstm.{label}": value for label, value in known.items()}
    basis: dict[str, Any] = SINE if known["benchmark"] == "sine" else IMAGES
    runs = []
    for number in range(seeds):
        more = (of_seed or {}).get(number, {})
        given = {key: value for key, value in (basis | (params or {}) | more).items() if value is not None}
        marks = {key: value for key, value in (common | CODE | (tags or {}) | more).items() if value is not None}
        metrics = {"train/hours": 0.1 * (1 + number), "tasks_seen": tasks_seen}
        runs.append(TrackedRun(f"{name}-{number}", f"{name}/trial-{number:04d}", START_MS, marks, given, metrics))
    results = (SCORES if known["benchmark"] == "sine" else ACCURACIES) if scores is None else scores
    parent = TrackedRun(name, name, START_MS + 1000 * start, common, {}, results | {"final/seeds": float(seeds)})
    return FinalRun(parent, tuple(runs))
