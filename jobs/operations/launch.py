"""Starting, resuming and promoting: what the command line calls."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jobs.execution.in_process import run_locally
from jobs.execution.pack_worker import require_local_gpu
from jobs.jobfile.schema import Job
from jobs.operations.plan import check_data, disk_bytes
from jobs.promotion.selection import Choice, candidates, choose, rescore_with
from jobs.store.final import FinalResult, final_job, final_result
from jobs.store.home import Home, SweepFolder
from jobs.store.provenance import provenance
from jobs.store.state import Header, SweepState
from oplstm.errors import RequestError, WorkError
from tracking.journal.file_lock import is_locked
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox
from tracking.server.embedded import check_reachable, ensure_server

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep, training or final run.

    Attributes:
        folder: Where it is.
        progress: ``Coordinator.progress`` at the end.
        waiting: Records that still wait for the MLflow server.
        result: The test result of a final run that has ended.
    """

    folder: SweepFolder
    progress: dict[str, Any]
    waiting: int
    result: FinalResult | None = None


@contextlib.contextmanager
def tracking_server(home: Home, uri: str | None, *, wait: bool = False) -> Iterator[str]:
    """The URI to track to: the given server, checked, or the embedded one, which runs at least while in here.

    Raises:
        RequestError: The given server does not answer within 15 seconds.
    """
    if uri is not None:
        check_reachable(uri)
        yield uri
        return
    server = ensure_server(home.path, wait=wait)
    try:
        yield server.uri
    finally:
        server.stop()


def chosen_uri(given: str | None) -> str | None:
    """The tracking URI that was asked for: by option, else by ``MLFLOW_TRACKING_URI``, else None (embedded)."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or None


def create(
    home: Home, job: Job, name: str, kind: str, experiment: str, uri: str | None, of: str | None = None
) -> SweepFolder:
    """Make the folder of a new sweep, after seeing that its name is free and the disk can hold it.

    Raises:
        RequestError: Something of that is not so; nothing was made.
    """
    home.check_writable(disk_bytes(job))
    folder = home.new_sweep(name)
    header = Header(
        id=uuid.uuid4().hex,
        name=name,
        kind=kind,
        experiment=experiment,
        job=job.model_dump(mode="json"),
        tracking_uri=uri,
        provenance=provenance(),
        created=time.time(),
        of=of,
    )
    header.write(folder)
    return folder


def start_sweep(
    home: Home, job: Job, name: str, experiment: str, *, uri: str | None, ray_address: str | None, progress: Progress
) -> Outcome:
    """Run a new sweep on Ray Tune.

    Raises:
        RequestError: The cluster lacks what the job asks for, a server does not answer, or the name is taken.
        WorkError: The sweep failed.
    """
    from jobs.execution import cluster

    check_data(job, home.data)
    home.check_writable(disk_bytes(job))
    home.new_sweep(name)
    cluster.check_answers(ray_address)
    with tracking_server(home, uri) as tracking_uri:
        connected = cluster.connect(ray_address)
        try:
            cluster.check_resources(job.resources)
            return _on_ray(create(home, job, name, "sweep", experiment, uri), tracking_uri, progress)
        finally:
            if connected:
                cluster.disconnect()


def _on_ray(folder: SweepFolder, tracking_uri: str, progress: Progress) -> Outcome:
    from jobs.execution.on_ray import run_on_ray

    job = Job.model_validate(Header.read(folder).job)
    last, waiting = run_on_ray(folder, job, tracking_uri, progress)
    return Outcome(folder, last, waiting)


def start_local(
    home: Home,
    job: Job,
    name: str,
    kind: str,
    experiment: str,
    *,
    uri: str | None,
    progress: Progress,
    of: str | None = None,
) -> Outcome:
    """Run a new training or final run in this process.

    Raises:
        RequestError: A GPU is asked for that is not there, a server does not answer, or the name is taken.
        WorkError: It failed.
    """
    require_local_gpu(job.resources.gpus)
    check_data(job, home.data)
    home.check_writable(disk_bytes(job))
    home.new_sweep(name)
    with tracking_server(home, uri) as tracking_uri:
        return _local(create(home, job, name, kind, experiment, uri, of), tracking_uri, progress)


def _local(folder: SweepFolder, tracking_uri: str, progress: Progress) -> Outcome:
    last, waiting = run_locally(folder, tracking_uri, progress)
    result = final_result(folder, SweepState.of(folder)) if Header.read(folder).kind == "final" else None
    return Outcome(folder, last, waiting, result)


def resume(home: Home, name: str, *, ray_address: str | None, progress: Progress) -> Outcome:
    """Go on with a sweep, training or final run that was stopped or killed.

    Raises:
        RequestError: It is running, or has ended.
        WorkError: It failed.
    """
    folder = home.sweep(name)
    require_idle(folder)
    header, state = Header.read(folder), SweepState.of(folder)
    if state.finished:
        raise RequestError(f"{name} has ended; nothing is left to resume")
    home.check_writable()
    if header.kind != "sweep":
        with tracking_server(home, header.tracking_uri) as tracking_uri:
            return _local(folder, tracking_uri, progress)
    from jobs.execution import cluster

    cluster.check_answers(ray_address)
    with tracking_server(home, header.tracking_uri) as tracking_uri:
        connected = cluster.connect(ray_address)
        try:
            cluster.check_resources(Job.model_validate(header.job).resources)
            return _on_ray(folder, tracking_uri, progress)
        finally:
            if connected:
                cluster.disconnect()


def is_running(folder: SweepFolder) -> bool:
    """Whether a live process owns the sweep's journal."""
    return is_locked(folder.journal)


def require_idle(folder: SweepFolder) -> None:
    """See that nobody runs the sweep.

    Raises:
        RequestError: Somebody does.
    """
    if is_running(folder):
        raise RequestError(f"{folder.name} is running; oplstm stop {folder.name} stops it")


def select(folder: SweepFolder) -> Choice:
    """Pick the best configuration of a sweep by meta-validation.

    Raises:
        RequestError: It is a final run, or no trial has completed.
    """
    header, state = Header.read(folder), SweepState.of(folder)
    if header.kind != "sweep":
        raise RequestError(f"{folder.name} is a {header.kind} run; promote takes a sweep")
    job = Job.model_validate(header.job)
    rescore = rescore_with(folder, job.measure, seed=job.seed, tasks=job.promotion.tasks)
    return choose(candidates(folder, state, job.measure), rescore, job.measure, leaders=job.promotion.leaders)


def register(folder: SweepFolder, choice: Choice, tracking_uri: str) -> str:
    """Record the choice in the sweep's journal and in the MLflow Model Registry.

    Returns:
        The registered model and its version, such as ``demo:1``.

    Raises:
        WorkError: The server did not take it.
    """
    from tracking.results.registry import register_model

    header, state = Header.read(folder), SweepState.of(folder)
    trial = state.by_name[choice.picked]
    trial_key, now = f"{header.id}/{trial.name}", time.time()
    scores = {"promote/score_b": choice.score_b.mean, "promote/ci95_b": choice.score_b.half_width}
    tracked = [{"kind": "sweep", "event": "promoted", **choice.to_dict()}]
    for leader in choice.leaders:
        metrics = {"promote/score_a": leader.score_a.mean, "promote/ci95_a": leader.score_a.half_width}
        metrics |= scores if leader.name == choice.picked else {}
        update = state.by_name[leader.name].best_update
        tracked.append(records.points(f"{header.id}/{leader.name}", step=update, metrics=metrics, timestamp=now))
    tracked.append(records.tags(trial_key, {"oplstm.promoted": "true"}))
    with Journal(folder.journal) as journal:
        journal.append(tracked)
        journal.sync()
        with Outbox(folder.journal, tracking_uri) as outbox:
            waiting = outbox.flush(120)
            run_id = outbox.run_id(trial_key)
            if waiting or run_id is None:
                raise WorkError(f"the MLflow server did not take the records of {folder.name}: {outbox.last_error}")
            version = register_model(
                tracking_uri,
                run_id=run_id,
                model_dir=folder.trials / trial.name,
                name=header.experiment,
                tags={"oplstm.sweep": header.name, "oplstm.trial": trial.name},
            )
    return f"{header.experiment}:{version}"


def start_final(home: Home, folder: SweepFolder, choice: Choice, *, seeds: int | None, progress: Progress) -> Outcome:
    """Train the picked configuration over several seeds in one pack."""
    header, state = Header.read(folder), SweepState.of(folder)
    job = final_job(Job.model_validate(header.job), state.by_name[choice.picked], seeds=seeds)
    name = home.free_name(f"{folder.name}-final")
    return start_local(
        home, job, name, "final", header.experiment, uri=header.tracking_uri, progress=progress, of=header.id
    )
