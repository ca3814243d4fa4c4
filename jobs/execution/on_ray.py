"""A sweep on Ray Tune: Tune places, restarts and reuses actors; the coordinator decides what they train."""

import contextlib
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.execution.cluster import pack_slots
from jobs.execution.pack_worker import train_pack
from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.coordinator import Coordinator
from oplstm.errors import RequestError, WorkError
from oplstm.training.reports import Point, RunEnd

PROGRESS_SECONDS = 0.5


class RemoteCoordinator:
    """The coordinator's methods, as calls to its actor that wait for the answer."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def sized(self, name: str, capacity: int) -> None:
        """See ``Coordinator.sized``."""
        ray.get(self._actor.sized.remote(name, capacity))

    def started(self, name: str, device: dict[str, str]) -> Mapping[str, Any] | None:
        """See ``Coordinator.started``."""
        assignment: Mapping[str, Any] | None = ray.get(self._actor.started.remote(name, device))
        return assignment

    def joins(self, name: str, update: int, room: int) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """See ``Coordinator.joins``."""
        joined: Sequence[tuple[str, Mapping[str, Any]]] = ray.get(self._actor.joins.remote(name, update, room))
        return joined

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """See ``Coordinator.on_points``."""
        prune: Sequence[str] = ray.get(self._actor.on_points.remote(points))
        return prune

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """See ``Coordinator.on_ends``."""
        ray.get(self._actor.on_ends.remote(ends))

    def give_up(self, reason: str) -> None:
        """See ``Coordinator.give_up``."""
        ray.get(self._actor.give_up.remote(reason))


class PackTrainable(tune.Trainable):
    """Trains one pack after another; its actor is reused, so a trial costs no new process."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Ready for the next pack: a pack keeps nothing outside itself."""
        return True

    def step(self) -> dict[str, Any]:
        """Train the whole pack; points go to the coordinator, so Tune sees one result."""
        config = self.config
        gpu_ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        coordinator = RemoteCoordinator(ray.get_actor(config["coordinator"], namespace=config["namespace"]))
        try:
            train_pack(
                config["assignment"],
                coordinator,
                SweepFolder(Path(config["folder"])),
                cpus=config["cpus"],
                gpus=config["gpus"],
                gpu_ids=",".join(gpu_ids),
            )
        except (WorkError, RequestError, OSError) as error:  # such as a full disk: another try would end so too
            coordinator.give_up(_reason(error))
        return {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Packs write their own checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Packs read their own checkpoints."""


def _reason(error: BaseException) -> str:
    """What went wrong in the process where it did, as one line without Ray's traceback."""
    return str(getattr(error, "cause", None) or error).strip().splitlines()[-1]


class PackSearcher(Searcher):
    """Hands the coordinator's packs to Ray Tune, and failures back.

    As many at once as the cluster can hold, and one more, so that one that can grow sees that it should.
    """

    def __init__(self, actor: Any, resources: Resources, constants: dict[str, Any]) -> None:
        super().__init__(metric="done", mode="max")
        self._actor, self._resources, self._constants = actor, resources, constants
        self._packs: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next pack; None when the cluster is full, FINISHED when the sweep has none left."""
        slots = pack_slots(self._resources)
        if len(self._packs) > slots:
            return None
        assignment = ray.get(self._actor.next_pack.remote(slots))
        if assignment is None:
            return Searcher.FINISHED
        self._packs[trial_id] = assignment["pack"]
        return {"assignment": assignment, **self._constants}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the coordinator when a pack is given up."""
        pack = self._packs.pop(trial_id)
        if error:
            reason = "failed: its process died or raised an error on every try; see the log of the sweep"
            ray.get(self._actor.pack_failed.remote(pack, reason))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal has it."""


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
    folder: SweepFolder, job: Job, tracking_uri: str, on_progress: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], int]:
    """Run or resume a sweep on the connected Ray cluster until it has ended or stopped.

    Args:
        folder: The sweep's folder, with its header.
        job: Its job.
        tracking_uri: Of the MLflow server.
        on_progress: Called about twice a second with ``Coordinator.progress``.

    Returns:
        The last progress, and how many records still wait for the MLflow server.

    Raises:
        WorkError: Ray Tune or the coordinator failed.
    """
    name, namespace = f"coordinator-{folder.name}", ray.get_runtime_context().namespace
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "num_cpus": 0, "scheduling_strategy": here}
    actor: Any = ray.remote(Coordinator).options(**options).remote(folder, tracking_uri)
    resources = job.resources
    constants = {
        "coordinator": name,
        "namespace": namespace,
        "folder": str(folder.path),
        "cpus": resources.cpus,
        "gpus": resources.gpus,
    }
    # Tune keeps pickles of its own state there; the sweep's folder holds data only, so they live elsewhere.
    scratch = tempfile.mkdtemp(prefix="oplstm-tune-")
    searcher = PackSearcher(actor, resources, constants)
    tuner = tune.Tuner(
        tune.with_resources(PackTrainable, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=scratch,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=resources.retries),
        ),
    )
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            with _logged_to(folder.path / "tune.log"):
                tuner.fit()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=fit, name="tune", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            on_progress(ray.get(actor.progress.remote()))
            thread.join(PROGRESS_SECONDS)
        progress: dict[str, Any] = ray.get(actor.progress.remote())
        on_progress(progress)
        waiting: int = ray.get(actor.close.remote())
    except ray.exceptions.RayError as error:
        raise WorkError(f"the coordinator of {folder.name} failed: {_reason(error)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(actor)
    if progress["failure"]:
        raise WorkError(progress["failure"])
    if failure:
        raise WorkError(f"Ray Tune failed: {_reason(failure[0])}; see {folder.path / 'tune.log'}")
    return progress, waiting
