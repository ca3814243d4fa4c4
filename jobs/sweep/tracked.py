"""What the coordinator writes for each event: its own record, and those that become MLflow runs. Pure functions."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.store.final import FinalResult
from jobs.store.provenance import digests
from jobs.store.state import ENDED, Header, PackState, SweepState, Trial
from oplstm.training.parameters import parameter_count
from oplstm.training.reports import Point, RunEnd
from tracking.outbox import records

Record = dict[str, Any]

# MLflow shows all but FINISHED in red, and pruning is no failure; the tag oplstm.state tells the two apart.
_STATUS: dict[str, records.EndStatus] = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_./ :-]")
"""What MLflow refuses in the name of a parameter; a user's space may name its own as it likes."""


def _event(name: str, **values: Any) -> Record:
    return {"kind": "sweep", "event": name, **values}


def key(header: Header, trial: Trial | None = None) -> str:
    """The unique key of the sweep's own MLflow run, or of a trial's."""
    return header.id if trial is None else f"{header.id}/{trial.name}"


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def sweep_run(header: Header, now: float) -> Record:
    """The parent run of a sweep."""
    job = header.job
    tags = {**_shared_tags(header), "oplstm.kind": header.kind, "oplstm.state": "running"}
    if job.get("description"):
        tags["mlflow.note.content"] = job["description"]
    params: dict[str, Any] = {"learner": job["learner"], "space": job["space"] or "none", "seed": job["seed"]}
    params |= {f"benchmark.{name}": value for name, value in job["benchmark"].items()}
    params |= {f"fixed.{name}": str(value) for name, value in job["fixed"].items()}
    if job["space"]:
        params |= {"sampler": job["sampler"]["name"], "pruner": job["pruner"]["name"] or "none"}
    return records.create_run(
        key(header), name=header.name, parent_key=None, experiment=header.experiment, tags=tags, params=params,
        start_time=now,
    )  # fmt: skip


def _shared_tags(header: Header) -> dict[str, str]:
    benchmark, fixed = header.job["benchmark"], header.job["fixed"]
    return {
        **header.provenance,
        "oplstm.sweep": header.name,
        "oplstm.sweep_id": header.id,
        "oplstm.of": header.of or "",
        "oplstm.learner": header.job["learner"],
        "oplstm.mode": str(fixed.get("support", "")),
        "oplstm.benchmark": str(benchmark.get("name")),
        "oplstm.shots": str(benchmark.get("shots", "")),
    }


def trial_run(header: Header, trial: Trial, now: float, data: Path) -> Record:
    """The run of a trial, child of its sweep's."""
    run = trial.config
    tags = {**_shared_tags(header), **digests(run, data)}
    tags |= {"oplstm.kind": f"{header.kind}-trial", "oplstm.state": "running"}
    tags |= {"oplstm.shots": str(run.benchmark.shots), "oplstm.mode": getattr(run.hyperparameters, "support", "")}
    if (partial := run.benchmark.open(data).partial_title()) is not None:
        note = f"On {partial}: not comparable with results on the whole dataset."
        tags |= {"oplstm.partial_dataset": partial, "mlflow.note.content": note}
    params: dict[str, Any] = {name: _text(value) for name, value in run.configuration().items()}
    params["parameters"] = parameter_count(run)
    params |= {"seed": run.seed, "evaluation_seed": run.evaluation_seed}
    for section in ("benchmark", "budget"):
        params |= {f"{section}.{name}": _text(value) for name, value in trial.run[section].items()}
    params |= {f"space.{_NOT_IN_NAMES.sub('_', name)[:200]}": _text(value) for name, value in trial.params.items()}
    return records.create_run(
        key(header, trial), name=f"{header.name}/{trial.name}", parent_key=key(header), experiment=header.experiment,
        tags=tags, params=params, start_time=now,
    )  # fmt: skip


def _text(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def reopened(header: Header, stopped: Sequence[Trial]) -> list[Record]:
    """A sweep goes on; so do the trials that had stopped."""
    keys = [key(header), *(key(header, trial) for trial in stopped)]
    return [r for k in keys for r in (records.reopen_run(k), records.tags(k, {"oplstm.state": "running"}))]


def packed(pack: str, trials: Sequence[Trial]) -> Record:
    """Trials make a pack."""
    return _event("packed", pack=pack, trials=[trial.name for trial in trials])


def sized(pack: str, capacity: int, trials: Sequence[Trial]) -> Record:
    """It was measured how many runs a pack should hold; ``trials`` fill it before its first update."""
    return _event("sized", pack=pack, capacity=capacity, trials=[trial.name for trial in trials])


def joined(header: Header, pack: PackState, update: int, trials: Sequence[Trial]) -> list[Record]:
    """Trials come into a pack that runs; none do, where that has to be remembered."""
    own = _event("joined", pack=pack.name, update=update, trials=[trial.name for trial in trials])
    return [own, *_placed(header, pack.name, [*pack.unended(), *trials], pack.device)] if trials else [own]


def started(header: Header, pack: str, trials: Sequence[Trial], device: dict[str, str]) -> list[Record]:
    """A process has begun to train a pack."""
    return [_event("started", pack=pack, device=device), *_placed(header, pack, trials, device)]


def _placed(header: Header, pack: str, trials: Sequence[Trial], device: dict[str, str]) -> list[Record]:
    tags = {**device, "oplstm.pack": pack, "oplstm.pack_size": str(len(trials))}
    return [records.tags(key(header, trial), tags) for trial in trials]


def point(header: Header, trial: Trial, point: Point, *, prune: bool, now: float) -> Record:
    """One meta-validation point and the decision that followed; its timestamp never changes.

    The sweep's own record and MLflow's are one here, unlike elsewhere: they hold the same metrics, and come often.
    """
    tracked = records.points(key(header, trial), step=point.update, metrics=_finite(point.metrics), timestamp=now)
    own = _event("point", trial=trial.name, update=point.update, milestone=point.milestone, prune=prune)
    return own | tracked


def end(header: Header, trial: Trial, end: RunEnd, now: float, *, value: str, state: str | None = None) -> list[Record]:
    """A trial has ended or stopped: scores, state, model, and a picture of the metric ``value``."""
    state = state or end.state
    this = key(header, trial)
    metrics = _finite(end.metrics)
    own = _event(
        "ended", trial=trial.name, state=state, update=end.update, best_update=end.best_update, metrics=metrics,
        note=end.note,
    )  # fmt: skip
    tags = {"oplstm.state": state, "oplstm.best_update": str(end.best_update)}
    if end.note:
        tags["mlflow.note.content"] = end.note
    if end.budget_exhausted:
        tags["oplstm.budget_exhausted"] = "true"
    tracked = [own, records.tags(this, tags)]
    if state in ENDED:
        scores = {name: value for name, value in metrics.items() if name != "val/best"}  # which a point has logged
        scores["diverged"] = float(state == "diverged")
        tracked.append(records.points(this, step=end.update, metrics=scores, timestamp=now))
        if state != "failed":
            tracked.append(records.artifact(this, path=f"trials/{trial.name}", folder="model"))
        if trial.points:
            title = f"{header.name} {trial.name}"
            tracked.append(records.learning_curve(this, points=trial.points, metric=value, title=title))
    return [*tracked, records.end_run(this, status=_STATUS[state], end_time=now)]


def best_so_far(header: Header, state: SweepState, now: float) -> list[Record]:
    """The sweep's own curve: the best validation against the number of trials that have ended."""
    leader = state.leader()
    if leader is None or leader.best is None or not math.isfinite(leader.best):
        return []
    return [records.points(key(header), step=state.ended, metrics={"val/best": leader.best}, timestamp=now)]


def sweep_end(header: Header, state: SweepState, result: FinalResult | None, *, done: bool, now: float) -> list[Record]:
    """The sweep has ended, or stopped and can be resumed; ``result`` is a final run's."""
    tags = {"oplstm.state": "complete" if done else "stopped"}
    metrics = {} if result is None else result.metrics()
    if result is not None and result.dataset is not None:
        tags["oplstm.partial_dataset"] = result.dataset
    tags |= {f"oplstm.trials_{name}": str(count) for name, count in state.counts().items()}
    leader = state.leader()
    if leader is not None:
        tags["oplstm.leader"] = leader.name
    this = key(header)
    status: records.EndStatus = "FINISHED" if done else "KILLED"
    ended: list[Record] = [_event("finished")] if done else []
    if metrics:
        ended.append(records.points(this, step=_last_update(state), metrics=metrics, timestamp=now))
    return [*ended, records.tags(this, tags), records.end_run(this, status=status, end_time=now)]


def _last_update(state: SweepState) -> int:
    return max((int(trial.points[-1]["update"]) for trial in state.trials.values() if trial.points), default=0)
