"""Work that begins: plan, train, sweep; ``going_on`` has the rest.

Each call returns when its work has ended or was stopped (``stop`` from another thread or process); what it returns
tells how it ended by its ``status``. An interrupt ends it at once, as a kill would, and ``resume`` goes on.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobs.api.asked import AnyHome, home_of, job_of
from jobs.api.process import as_before, unseen
from jobs.api.sweeps import Sweep
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.jobfile.schema import Job
    from jobs.operations.plan import Plan
    from jobs.store.home import Home
    from jobs.sweep.messages import OnProgress


def plan(
    job: "str | os.PathLike[str] | Mapping[str, Any] | Job",
    *,
    trials: int | None = None,
    settings: Mapping[str, Any] = {},
    ray_address: str | None = None,
    home: AnyHome = None,
) -> "Plan":
    """What a job would do, with every error in it; no work is done.

    Args:
        job: Path of a job file, name of one that ships, what one would say, or a ``Job``.
        trials: At most.
        settings: Values to replace, as ``--set``: ``{"shots": 10, "budget.tasks": 7000}``.
        ray_address: Of a cluster on which it would run; this machine need not have what it asks for then.
        home: Where its data would be.

    Raises:
        RequestError: Everything that is wrong with it or missing here.
    """
    from jobs.operations.plan import make_plan
    from jobs.operations.requirements import check_here

    with as_before():
        loaded, there = job_of(job, settings, trials=trials)[0], home_of(home)
        check_here(loaded, there, on_cluster=ray_address is not None)
        return make_plan(loaded, there.data)


def train(
    job: "str | os.PathLike[str] | Mapping[str, Any] | Job",
    *,
    name: str | None = None,
    settings: Mapping[str, Any] = {},
    tracking_uri: str | None = None,
    home: AnyHome = None,
    progress: "OnProgress | None" = None,
) -> Sweep:
    """Train one configuration of a job here, without Ray: its fixed values and its first enqueued point.

    Args:
        job: As of ``plan``.
        name: Of the training; the job file's with ``-train`` by default, with the next free number.
        settings: As of ``plan``.
        tracking_uri: Of an MLflow server; that of ``MLFLOW_TRACKING_URI`` or the embedded one by default.
        home: Where.
        progress: Called about twice a second, in this thread.

    Raises:
        RequestError: Nothing was started.
        WorkError: It failed.
    """
    from jobs.jobfile.resolving import single_configuration
    from jobs.operations.start import NewSweep, start_here
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.states import SweepKind

    with as_before():
        loaded, stem = job_of(job, settings)
        there, uri = home_of(home), chosen_uri(tracking_uri)
        named = _named(there, name, None if stem is None else f"{stem}-train")
        alone = single_configuration(loaded)
        new = NewSweep(alone, named, SweepKind.TRAIN, experiment=stem or named, tracking_uri=uri)
        return Sweep(start_here(there, new, progress=progress or unseen).folder)


def sweep(
    job: "str | os.PathLike[str] | Mapping[str, Any] | Job",
    *,
    name: str | None = None,
    trials: int | None = None,
    settings: Mapping[str, Any] = {},
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    home: AnyHome = None,
    progress: "OnProgress | None" = None,
) -> Sweep:
    """Run the sweep of a job on Ray Tune, tracked in MLflow.

    Args:
        job: As of ``plan``.
        name: Of the sweep; the job file's by default, with the next free number.
        trials: At most.
        settings: As of ``plan``.
        tracking_uri: As of ``train``.
        ray_address: Of a cluster, host:port; by default that to which this process is connected, else a local one.
        home: Where.
        progress: As of ``train``.

    Raises:
        RequestError: Nothing was started.
        WorkError: It failed.
    """
    from jobs.operations.start import NewSweep, start_on_ray
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.states import SweepKind

    with as_before():
        loaded, stem = job_of(job, settings, trials=trials)
        if loaded.space is None:
            raise RequestError("the job has no space to sweep; train trains its one configuration")
        there, uri = home_of(home), chosen_uri(tracking_uri)
        named = _named(there, name, stem)
        new = NewSweep(loaded, named, SweepKind.SWEEP, experiment=stem or named, tracking_uri=uri)
        return Sweep(start_on_ray(there, new, ray_address=ray_address, progress=progress or unseen).folder)


def _named(home: "Home", name: str | None, stem: str | None) -> str:
    if name is None and stem is None:
        raise RequestError("a job that is no file has no name: give one as name=")
    return name or home.free_name(stem or "")
