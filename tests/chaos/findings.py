"""What is to be seen of a sweep and its promotion when all is over: on the disk, in MLflow, in a table."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from jobs.store.memory import PEAK, SHARING
from jobs.store.names import trial_name
from tests.jobs.integration.command_line import Oplstm
from tests.tracking.conftest import Rest, texts

OF_THE_CLOCK: Final = ("train/tasks_per_second", "train/hours", PEAK, SHARING)
"""Metrics that have other values each time: those of the clock, of memory and of who shared it."""
OF_THE_ORDER: Final = "val/best"
"""Metric of a sweep's own run: its rows hang on the order in which trials end."""

Rows = tuple[tuple[int, float | None], ...]
"""(step, value) of each row of a metric in MLflow; the value None where it hangs on the clock."""


@dataclass(frozen=True)
class FoundTrial:
    """What a sweep's folder holds of a trial.

    Attributes:
        params: The point of the space, and the run that it means.
        points: (update, metrics, prune), as often as they are written.
        ends: State, update, best update and scores, as often as it ended.
        files: SHA-256 of the files of its model and scores.
        mates: Who was in its pack, each with the pack's update at which it came in; on them hangs the rounding.
    """

    params: Any
    points: tuple[Any, ...]
    ends: tuple[Any, ...]
    files: dict[str, str]
    mates: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class FoundRun:
    """A run in MLflow.

    Attributes:
        status: Of MLflow.
        state: The tag ``oplstm.state``.
        params: All.
        rows: Of each metric.
        artifacts: Their paths.
    """

    status: str
    state: str
    params: dict[str, str]
    rows: dict[str, Rows]
    artifacts: tuple[str, ...]


@dataclass(frozen=True)
class Findings:
    """All that is compared.

    Attributes:
        trials: By sweep and trial.
        runs: Of MLflow, by sweep and trial, the sweep's own under ""; several where there should be one.
        promotion: What was picked and why, and the champion of the registry.
        table: The cells of the paper's table 1, without ids and hours.
    """

    trials: dict[tuple[str, str], FoundTrial]
    runs: dict[tuple[str, str], list[FoundRun]] = field(default_factory=dict)
    promotion: Any = None
    table: Any = None


def found_trials(oplstm: Oplstm, sweep: str) -> dict[tuple[str, str], FoundTrial]:
    """Those of a sweep."""
    found: dict[tuple[str, str], FoundTrial] = {}
    mates = _mates(oplstm, sweep)
    points, ends = oplstm.events(sweep, "point"), oplstm.events(sweep, "ended")
    for asked in oplstm.events(sweep, "asked", "replicated"):
        name = trial_name(asked["trial"], asked.get("replicate", 0))
        folder = oplstm.sweep(sweep).trials / name
        files = (
            {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
            if folder.is_dir()
            else {}
        )
        found[sweep, name] = FoundTrial(
            params={"params": asked.get("params"), "run": asked["run"]},
            points=tuple(
                (point["update"], _steady(point["metrics"]), point["prune"])
                for point in points
                if point["trial"] == name
            ),
            ends=tuple(
                (end["state"], end["update"], end["best_update"], _steady(end["metrics"]))
                for end in ends
                if end["trial"] == name and end["state"] != "stopped"
            ),
            files=files,
            mates=mates.get(name, ()),
        )
    return found


def _mates(oplstm: Oplstm, sweep: str) -> dict[str, tuple[tuple[str, int], ...]]:
    place: dict[str, tuple[str, int]] = {}
    for event in oplstm.events(sweep, "packed", "sized", "joined"):
        place |= {trial: (event["pack"], event.get("update", 0)) for trial in event["trials"]}
    packs: dict[str, list[tuple[str, int]]] = {}
    for trial, (pack, update) in place.items():
        packs.setdefault(pack, []).append((trial, update))
    return {trial: tuple(sorted(packs[pack])) for trial, (pack, _) in place.items()}


def _steady(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in OF_THE_CLOCK}


def found_runs(rest: Rest, experiment: str) -> dict[tuple[str, str], list[FoundRun]]:
    """The active runs of an experiment, over plain REST."""
    found: dict[tuple[str, str], list[FoundRun]] = {}
    for key, runs in rest.runs(experiment).items():
        for run in runs:
            tags = texts(run, "tags")
            trial = key.rpartition("/")[2] if "mlflow.parentRunId" in tags else ""
            found.setdefault((tags["oplstm.sweep"], trial), []).append(_found_run(rest, run, tags))
    return found


def _found_run(rest: Rest, run: dict[str, Any], tags: dict[str, str]) -> FoundRun:
    rows: dict[str, Rows] = {}
    for name in sorted(metric["key"] for metric in run["data"].get("metrics", [])):
        rows[name] = tuple(rest.history(run, name))
        if name in OF_THE_CLOCK:
            rows[name] = tuple((step, None) for step, _ in rows[name])
        if name == OF_THE_ORDER and "mlflow.parentRunId" not in tags:
            times = Counter(step for step, _ in rows[name])
            rows[name] = tuple((step, None) for step, _ in rows[name] if times[step] > 1)
    artifacts = [*rest.artifacts(run), *rest.artifacts(run, "model")]
    return FoundRun(run["info"]["status"], tags.get("oplstm.state", ""), texts(run, "params"), rows, tuple(artifacts))


def found_promotion(oplstm: Oplstm, sweep: str, *, rest: Rest, experiment: str) -> Any:
    """The last choice in the journal, and what the registry says of it."""
    event = oplstm.events(sweep, "promoted")[-1]
    version = rest.get("registered-models/alias", name=experiment, alias="champion")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    champion = {"version": version["version"], "trial": tags["oplstm.trial"], "sweep": tags["oplstm.sweep"]}
    own = ("kind", "time", "registered")
    return {"champion": champion, **{name: value for name, value in event.items() if name not in own}}


def found_table(oplstm: Oplstm, uri: str) -> Any:
    """What the newest final run is to each cell of the paper's table."""
    made = oplstm.here("table", "1", "--tracking-uri", uri, "--json").ok().json
    own = ("run_id", "date", "hours")
    for cell in made["cells"]:
        cell["ours"] = cell["ours"] and {name: value for name, value in cell["ours"].items() if name not in own}
    return made


def is_replicate(trial: str) -> bool:
    """Whether this is the name of one more seed of a trial."""
    number = trial.removeprefix("trial-")
    return number != trial and not number.isdecimal()


def count_points(findings: Findings) -> Counter[Any]:
    """How often each point is written: in the journals, and in MLflow each row."""
    found: Counter[Any] = Counter()
    for (sweep, trial), one in findings.trials.items():
        found.update(("journal", sweep, trial, update) for update, *_ in one.points)
    for (sweep, trial), runs in findings.runs.items():
        for run in runs:
            for metric, rows in run.rows.items():
                found.update(("mlflow", sweep, trial, metric, step) for step, _ in rows)
    return found
