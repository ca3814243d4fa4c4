"""What MLflow is told of each event of a sweep: pure functions from what happened to track records."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.jobfile.published import published_as
from jobs.store.events import Ended, Params, Refused
from jobs.store.header import Header
from jobs.store.live import BEFORE_IT_BEGAN
from jobs.store.names import trial_name
from jobs.store.provenance import digests
from jobs.store.scores import FinalResult
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import PackState, Trial
from jobs.sweep.described import sweep_note, trial_note, view_tag
from oplstm.training.parameters import parameter_count
from tracking.outbox import records
from tracking.outbox.links import NOTE
from tracking.outbox.records import EndStatus, Record, Scalar

# MLflow shows all but FINISHED in red, and pruning is no failure; the tag oplstm.state tells the two apart.
_STATUS: dict[TrialState, EndStatus] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "FINISHED",
    TrialState.STOPPED: "KILLED",
    TrialState.DIVERGED: "FAILED",
    TrialState.FAILED: "FAILED",
}
_VIEWED = (1, 10)
"""After so many ends the view of the trials is written anew: by then it is known which parameters differ."""
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_./ :-]")
"""What MLflow refuses in the name of a parameter; a user's space may name its own as it likes."""


def key(header: Header, trial: str | None = None) -> str:
    """The unique key of the sweep's own MLflow run, or of that of the trial of this name."""
    return header.id if trial is None else f"{header.id}/{trial}"


def sweep_run(header: Header, now: float) -> Record:
    """The parent run of a sweep."""
    job = header.job
    tags = {**_shared_tags(header, header.provenance), "oplstm.kind": header.kind, "oplstm.state": "running"}
    tags |= {NOTE: sweep_note(header), **view_tag(header)}
    if (published := published_as(job)) is not None:
        tags["oplstm.published"] = published
    params: dict[str, Scalar] = {"learner": job.learner, "space": job.space or "none", "seed": job.seed}
    params |= {f"benchmark.{name}": value for name, value in job.benchmark.items()}
    params |= {f"fixed.{name}": str(value) for name, value in job.fixed.items()}
    params |= {f"budget.{name}": _text(value) for name, value in job.budget.items()}
    if job.space:
        params |= {"sampler": job.sampler.name, "pruner": job.pruner.name or "none", "trials": job.trials}
    return records.CreateRun(
        key(header), name=header.name, parent_key=None, experiment=header.experiment, tags=tags, params=params,
        start_time=now,
    )  # fmt: skip


def _shared_tags(header: Header, provenance: Mapping[str, str]) -> dict[str, str]:
    job = header.job
    return {
        **provenance,
        "oplstm.sweep": header.name,
        "oplstm.sweep_id": header.id,
        "oplstm.of": header.of or "",
        "oplstm.learner": job.learner,
        "oplstm.mode": str(job.fixed.get("support", "")),
        "oplstm.benchmark": str(job.benchmark.get("name")),
        "oplstm.shots": str(job.benchmark.get("shots", "")),
    }


def trial_run(header: Header, trial: Trial, *, provenance: Mapping[str, str], data: Path, now: float) -> Record:
    """The run of a trial, child of its sweep's.

    Args:
        header: Of the sweep.
        trial: Of the sweep.
        provenance: Of the process that decides that the trial is trained.
        data: The folder of imported datasets.
        now: Unix seconds.
    """
    run = trial.config
    tags = {**_shared_tags(header, provenance), **digests(run, data)}
    tags |= {"oplstm.kind": f"{header.kind}-trial", "oplstm.state": "running"}
    if trial.replicate:
        of = trial_name(trial.number)
        tags |= {"oplstm.kind": f"{header.kind}-replicate", "oplstm.replicate_of": of}
    if trial.added is not None:
        tags |= {"oplstm.added": "by hand", "oplstm.added_like": trial.added.like or ""}
    if trial.is_warm:  # a kind of its own: tables and views rank what began with fresh weights
        tags |= {"oplstm.kind": f"{header.kind}-warm-start", "oplstm.warm_start": trial.began_with}
    tags |= {"oplstm.shots": str(run.benchmark.shots), "oplstm.mode": getattr(run.hyperparameters, "support", "")}
    if (partial := run.benchmark.open(data).partial_title()) is not None:
        tags["oplstm.partial_dataset"] = partial
    on = f"On {partial}: not comparable with results on the whole dataset." if partial else ""
    tags[NOTE] = trial_note(header, trial, on)
    params: dict[str, Scalar] = {name: _text(value) for name, value in run.configuration().items()}
    params["parameters"] = parameter_count(run)
    params |= {"seed": run.seed, "evaluation_seed": run.evaluation_seed}
    for section in ("benchmark", "budget"):
        params |= {f"{section}.{name}": _text(value) for name, value in trial.run[section].items()}
    params |= _point(trial.params)
    return records.CreateRun(
        key(header, trial.name), name=f"{header.name}/{trial.name}", parent_key=key(header),
        experiment=header.experiment, tags=tags, params=params, start_time=now,
    )  # fmt: skip


def refused(header: Header, event: Refused, *, provenance: Mapping[str, str], now: float) -> list[Record]:
    """A point of which the space made no run: a trial that has ended before it began."""
    this = key(header, trial_name(event.trial))
    tags = {**_shared_tags(header, provenance), "oplstm.kind": f"{header.kind}-trial", "oplstm.state": event.state}
    tags[NOTE] = event.reason
    run = records.CreateRun(
        this, name=f"{header.name}/{trial_name(event.trial)}", parent_key=key(header), experiment=header.experiment,
        tags=tags, params=_point(event.params), start_time=now,
    )  # fmt: skip
    return [run, records.EndRun(this, status=_STATUS[event.state], end_time=now)]


def taken_out(header: Header, trial: Trial, *, now: float) -> list[Record]:
    """A user ends a trial as pruned; one that waits ends here, and its run was created just before."""
    this, tags = key(header, trial.name), {"oplstm.pruned": "by hand"}
    if trial.pack is not None:
        return [records.Tags(this, tags)]
    tags |= {"oplstm.state": TrialState.PRUNED, "mlflow.note.content": BEFORE_IT_BEGAN}
    return [records.Tags(this, tags), records.EndRun(this, status=_STATUS[TrialState.PRUNED], end_time=now)]


def limited(header: Header, concurrent: int | None) -> Record:
    """A user limits how many trials train at once."""
    return records.Tags(key(header), {"oplstm.concurrent": str(concurrent or "no limit")})


def _point(params: Params) -> dict[str, Scalar]:
    return {f"space.{_NOT_IN_NAMES.sub('_', name)[:200]}": _text(value) for name, value in params.items()}


def _text(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def reopened(header: Header, unended: Sequence[Trial], *, number: int, provenance: Mapping[str, str]) -> list[Record]:
    """A sweep goes on, and so do the trials that had begun; with what, if not with what it was created with.

    Args:
        header: Of the sweep.
        unended: Trials that had begun and not ended.
        number: Of the resume, from 1.
        provenance: Of the process that goes on.
    """
    tags = {"oplstm.state": "running", "oplstm.resumes": str(number)}
    tags |= {f"resume.{number}.{name}": value for name, value in provenance.items()}
    found: list[Record] = []
    for run in (key(header), *(key(header, trial.name) for trial in unended)):
        found += [records.ReopenRun(run), records.Tags(run, tags)]
    # a parameter says for ever what it said first, and a budget may have become longer
    now = {trial.name: {"oplstm.budget": str(trial.total), "digest.configuration": trial.config.digest()}
           for trial in unended}  # fmt: skip
    return [*found, *(records.Tags(key(header, name), of_trial) for name, of_trial in now.items())]


def placed(
    header: Header, pack: PackState, trials: Sequence[Trial], *, device: Mapping[str, str] | None = None
) -> list[Record]:
    """These trials share a pack, on its device or on the one that is given."""
    tags = {**(pack.device if device is None else device), "oplstm.pack": pack.name}
    tags["oplstm.pack_size"] = str(len(trials))
    return [records.Tags(key(header, trial.name), tags) for trial in trials]


def point(header: Header, trial: Trial, *, update: int, metrics: Mapping[str, float], now: float) -> Record:
    """One meta-validation point; its timestamp never changes."""
    return records.Points(key(header, trial.name), step=update, metrics=metrics, timestamp=now)


def end(header: Header, trial: Trial, event: Ended, *, now: float, budget_exhausted: bool) -> list[Record]:
    """A trial has ended or stopped: its state, and at an end its scores, model and learning curve."""
    this, state = key(header, trial.name), event.state
    tags = {"oplstm.state": state, "oplstm.best_update": str(event.best_update)}
    if event.note or trial.note:  # of an earlier end of a trial that was trained again
        tags[NOTE] = trial_note(header, trial, event.note)
    if budget_exhausted:
        tags["oplstm.budget_exhausted"] = "true"
    found: list[Record] = [records.Tags(this, tags)]
    if state.ended:
        scores = {name: value for name, value in event.metrics.items() if name != "val/best"}  # a point has logged it
        scores |= {"diverged": float(state is TrialState.DIVERGED), "train/hours": trial.hours}
        found.append(records.Points(this, step=event.update, metrics=scores, timestamp=now))
        if state is not TrialState.FAILED:
            found.append(records.Artifact(this, path=f"trials/{trial.name}", folder="model"))
        if trial.points:
            title, metric = f"{header.name} {trial.name}", f"val/{header.measure.name}"
            found.append(records.LearningCurve(this, points=trial.points, metric=metric, title=title))
    return [*found, records.EndRun(this, status=_STATUS[state], end_time=now)]


def best_so_far(header: Header, leader: Trial | None, *, ends: int, now: float) -> list[Record]:
    """The sweep's own curve: the best validation against the number of trials that have ended."""
    if leader is None or leader.best is None or not math.isfinite(leader.best):
        return []
    told: list[Record] = [records.Points(key(header), step=ends, metrics={"val/best": leader.best}, timestamp=now)]
    if ends in _VIEWED:
        told.append(records.Tags(key(header), view_tag(header)))
    return told


def sweep_end(header: Header, state: SweepState, result: FinalResult | None, *, done: bool, now: float) -> list[Record]:
    """The sweep has ended, or stopped and can be resumed; ``result`` is a final run's or a training's."""
    this, tags = key(header), {"oplstm.state": "complete" if done else "stopped", **view_tag(header)}
    tags |= {f"oplstm.trials_{name}": str(count) for name, count in state.counts().items()}
    if (leader := state.leader()) is not None:
        tags["oplstm.leader"] = leader.name
    ended: list[Record] = []
    if result is not None:
        if result.dataset is not None:
            tags["oplstm.partial_dataset"] = result.dataset
        ended.append(records.Points(this, step=_last_update(state), metrics=result.metrics(), timestamp=now))
    status: EndStatus = "FINISHED" if done else "KILLED"
    return [*ended, records.Tags(this, tags), records.EndRun(this, status=status, end_time=now)]


def _last_update(state: SweepState) -> int:
    return max((int(trial.points[-1]["update"]) for trial in state.trials.values() if trial.points), default=0)
