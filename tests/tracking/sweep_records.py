"""A small sweep as journal records, and the check that MLflow holds it exactly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.tracking.conftest import Rest, texts
from tracking.journal.journal import Journal
from tracking.outbox import records

START = 1_700_000_000.125


def write(journal: Journal, *group: records.Record | dict[str, Any]) -> None:
    """Append one group of records, those of a sweep's own as plain data."""
    journal.append([record if isinstance(record, dict) else record.encode() for record in group])


def write_sweep(path: Path, word: str, *, trials: int = 3, steps: int = 40) -> None:
    """Write a parent and its trials: params, tags, points, an artifact, a learning curve and ends."""
    (path.parent / "best.txt").write_text("weights of " + word)
    with Journal(path) as journal:
        for group in groups(word, trials=trials, steps=steps):
            write(journal, *group)


def groups(word: str, *, trials: int, steps: int) -> Iterator[list[records.Record | dict[str, Any]]]:
    sweep = f"{word}/sweep"
    yield [{"kind": "sweep"}, run(sweep, None, word, 0)]
    keys = [f"{word}/trial-{number:04d}" for number in range(trials)]
    for number, key in enumerate(keys):
        yield [{"kind": "ask", "trial": number}, run(key, sweep, word, number)]
    for step in range(steps):
        for number, key in enumerate(keys):
            metrics = {"val/loss": value(number, step), "tasks_seen": float(4 * step)}
            yield [{"kind": "point"}, records.Points(key, step=step, metrics=metrics, timestamp=START + step)]
    for key in keys:
        curve = [{"update": step, "tasks_seen": 4 * step, "val/loss": 1 / (1 + step)} for step in range(3)]
        yield [
            records.Artifact(key, path="best.txt", folder="checkpoint"),
            records.LearningCurve(key, points=curve, metric="val/loss", title=key),
            records.Tags(key, {"oplstm.state": "complete"}),
            records.EndRun(key, status="FINISHED", end_time=START + 1000),
        ]
    yield [records.EndRun(sweep, status="FINISHED", end_time=START + 1001)]


def run(key: str, parent: str | None, experiment: str, number: int) -> records.CreateRun:
    return records.CreateRun(
        key,
        name=key.rpartition("/")[2],
        parent_key=parent,
        experiment=experiment,
        tags={"oplstm.sweep": experiment, "oplstm.kind": "sweep" if parent is None else "sweep-trial"},
        params={"lr": 0.1 + number, "trial": number},
        start_time=START,
    )


def value(trial: int, step: int) -> float:
    return (1 + trial) / (3 + step)


def check_sweep(rest: Rest, word: str, *, trials: int = 3, steps: int = 40) -> None:
    """Every run once, every point once, and all the rest of it."""
    runs = rest.runs(word)
    assert {key: len(found) for key, found in runs.items()} == {
        f"{word}/sweep": 1,
        **{f"{word}/trial-{number:04d}": 1 for number in range(trials)},
    }
    parent = runs[f"{word}/sweep"][0]
    assert parent["info"]["status"] == "FINISHED"
    for number in range(trials):
        trial = runs[f"{word}/trial-{number:04d}"][0]
        assert trial["info"]["status"] == "FINISHED"
        assert trial["info"]["start_time"] == round(START * 1000)
        assert trial["info"]["end_time"] == round((START + 1000) * 1000)
        assert texts(trial, "params") == {"lr": str(0.1 + number), "trial": str(number)}
        tags = texts(trial, "tags")
        assert tags["mlflow.parentRunId"] == parent["info"]["run_id"]
        assert (tags["oplstm.sweep"], tags["oplstm.state"]) == (word, "complete")
        assert rest.history(trial, "val/loss") == [(step, value(number, step)) for step in range(steps)]
        assert rest.history(trial, "tasks_seen") == [(step, 4 * step) for step in range(steps)]
        assert rest.artifacts(trial) == ["checkpoint", "learning_curve.png"]
        assert rest.artifacts(trial, "checkpoint") == ["checkpoint/best.txt"]
