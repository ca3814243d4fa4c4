"""A sweep on Ray Tune: Tune places, restarts and reuses actors; the coordinator decides what they train."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.execution.coordinator_actor import Coordinator
from jobs.execution.home_mark import Mark, marked
from jobs.execution.nodes import Nodes, code_here
from jobs.execution.ray_packs import MemoryKills, PackSearcher, PackTrainable, SweepOnRay
from jobs.execution.ray_processes import RayLost, VitalProcesses
from jobs.execution.remote_coordinator import reason_of
from jobs.execution.scratch import TUNE, scratch_folder
from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.jobfile.sections import Resources
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.sweep.messages import OnProgress, Progress
from oplstm.errors import WorkError
from tracking.server.access import Access

PROGRESS_SECONDS = 0.5
ANSWER_SECONDS = 5.0


@contextlib.contextmanager
def _logged_to(path: Path) -> Iterator[None]:
    """What Ray and Tune log goes to a file: the terminal belongs to the progress bar."""
    logger = logging.getLogger("ray")
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk: reported elsewhere
    before, logger.handlers = logger.handlers, [handler]
    try:
        yield
    finally:
        logger.handlers = before
        handler.close()


def run_on_ray(
    folder: SweepFolder, resources: Resources, *, nodes: Nodes, tracking_uri: str, on_progress: OnProgress
) -> tuple[Progress, int]:
    """Run or resume a sweep on the connected Ray cluster until it has ended or stopped.

    Args:
        folder: The sweep's folder, with its header.
        resources: What a pack gets.
        nodes: Of the cluster, which are looked at when they join.
        tracking_uri: Of the MLflow server.
        on_progress: Shows it.

    Returns:
        The last progress, and how many records still wait for the MLflow server.

    Raises:
        WorkError: Ray Tune or the coordinator failed.
    """
    with scratch_folder(TUNE) as scratch:  # Tune keeps pickles there, and a sweep's folder holds data only
        return _run(folder, resources, nodes=nodes, scratch=scratch, tracking_uri=tracking_uri, on_progress=on_progress)


def _run(
    folder: SweepFolder,
    resources: Resources,
    *,
    nodes: Nodes,
    scratch: str,
    tracking_uri: str,
    on_progress: OnProgress,
) -> tuple[Progress, int]:
    safe = f"what was trained is on the disk up to the last checkpoint: oplstm resume {folder.name}"
    vital = VitalProcesses(ray.get_runtime_context().gcs_address, safe)
    actors: list[Any] = []  # the coordinator, once it is there
    failure: list[BaseException] = []

    def work() -> None:
        try:
            actors.append(_coordinator(folder, tracking_uri))
            with _logged_to(folder.path / "tune.log"), marked(folder) as mark:
                _tuner(actors[0], folder, resources, mark=mark, scratch=scratch).fit()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="tune", daemon=True)
    try:
        thread.start()
        # A batch system signals all processes of a job, those of Ray too. No node joins a Ray of our own.
        watched = nodes.watched(until=folder.asked_to_stop)
        with contextlib.nullcontext(list[str]()) if vital.head_is_own else watched as unfit:
            while thread.is_alive():
                vital.check()
                for actor in actors:
                    with contextlib.suppress(ray.exceptions.GetTimeoutError):
                        if unfit:  # a node has joined to which Ray would give packs
                            _answer(actor.give_up.remote(unfit[0]), vital)
                        on_progress(_answer(actor.progress.remote(), vital))
                thread.join(PROGRESS_SECONDS)
        if not actors:
            vital.check()
            raise WorkError(f"the coordinator of {folder.name} did not start: {reason_of(failure[0])}; {safe}")
        progress: Progress = ray.get(actors[0].progress.remote())
        on_progress(progress)
        waiting: int = ray.get(actors[0].close.remote())
    except RayLost:
        for actor in actors:
            with contextlib.suppress(ray.exceptions.RayError):  # which needs no head to answer
                ray.get(actor.close.remote(flush_seconds=0.0), timeout=ANSWER_SECONDS)
        raise
    except ray.exceptions.RayError as error:
        vital.check()
        raise WorkError(f"the coordinator of {folder.name} {_end_of(error, safe)}") from error
    finally:
        for actor in actors:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(actor)
    if progress.failure:
        raise WorkError(progress.failure)
    if failure:
        raise WorkError(f"Ray Tune failed: {reason_of(failure[0])}; see {folder.path / 'tune.log'}")
    return progress, waiting


def _answer(asked: Any, vital: VitalProcesses) -> Any:
    """Of the coordinator, which may be busy. One that has died with Ray never answers, and nobody says so.

    Raises:
        GetTimeoutError: It does not come in time; ask again.
        RayLost: Ray has died.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ray.exceptions.GetTimeoutError):
            return ray.get(asked, timeout=PROGRESS_SECONDS)
        vital.check()
    raise ray.exceptions.GetTimeoutError


def _end_of(error: ray.exceptions.RayError, safe: str) -> str:
    """What became of the coordinator: Ray's own words for a process that died say nothing to a user."""
    if isinstance(error, ray.exceptions.RayActorError) and not error.actor_init_failed:
        return f"has died: its process was killed, by somebody or for want of memory; {safe}"
    return f"failed: {reason_of(error)}"


def _name(folder: SweepFolder) -> str:
    return f"coordinator-{folder.name}"


def _coordinator(folder: SweepFolder, tracking_uri: str) -> Any:
    """An actor on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": _name(folder), "num_cpus": 0, "scheduling_strategy": here}
    # its process inherits the environment of the cluster, which may have been started with another
    access = Access.from_here(tracking_uri)
    return ray.remote(Coordinator).options(**options).remote(_plugins(folder), folder, access)


def _plugins(folder: SweepFolder) -> ShippedPlugins:
    return ShippedPlugins.of(Header.read(folder).plugins)


def _tuner(actor: Any, folder: SweepFolder, resources: Resources, *, mark: Mark, scratch: str) -> tune.Tuner:
    here = ray.get_runtime_context()
    sweep = SweepOnRay(
        plugins=_plugins(folder), coordinator=_name(folder), namespace=here.namespace, folder=folder, mark=mark,
        resources=resources, node=here.get_node_id(), code=code_here().digest,
    )  # fmt: skip
    return tune.Tuner(
        tune.with_resources(PackTrainable, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(search_alg=PackSearcher(actor, sweep), num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=scratch,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=resources.retries),
            callbacks=[MemoryKills(actor)],
        ),
    )
