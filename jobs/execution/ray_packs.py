"""Packs as Ray Tune's trials: the trainable that trains them, and the searcher that hands them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from jobs.execution.cluster import pack_slots
from jobs.execution.pack_worker import train_pack
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.messages import Assignment, NamedRun, StartedPack
from oplstm.errors import RequestError, WorkError
from oplstm.training.reports import Point, RunEnd


class RemoteCoordinator:
    """The coordinator's methods (see ``CoordinatorCalls``), as calls to its actor that wait for the answer."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def sized(self, name: str, capacity: int) -> None:
        """How many runs the pack can hold."""
        ray.get(self._actor.sized.remote(name, capacity))

    def started(self, name: str, device: dict[str, str]) -> StartedPack | None:
        """The pack's training begins."""
        started: StartedPack | None = ray.get(self._actor.started.remote(name, device))
        return started

    def joins(self, name: str, update: int, room: int) -> Sequence[NamedRun]:
        """Who comes into the pack."""
        joined: Sequence[NamedRun] = ray.get(self._actor.joins.remote(name, update, room))
        return joined

    def expired(self, name: str, update: int, trials: Sequence[str]) -> None:
        """Whose hours are over."""
        ray.get(self._actor.expired.remote(name, update, trials))

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Points, answered with the runs to prune."""
        prune: Sequence[str] = ray.get(self._actor.on_points.remote(points))
        return prune

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Ends."""
        ray.get(self._actor.on_ends.remote(ends))

    def give_up(self, reason: str) -> None:
        """The work cannot go on."""
        ray.get(self._actor.give_up.remote(reason))


@dataclass(frozen=True)
class SweepOnRay:
    """Where the packs of a sweep find what they need.

    Attributes:
        coordinator: Name of the coordinator's actor.
        namespace: Ray's, that the actor is in.
        folder: Of the sweep.
        resources: What a pack gets.
    """

    coordinator: str
    namespace: str
    folder: SweepFolder
    resources: Resources


class PackTrainable(tune.Trainable):
    """Trains one pack after another; its actor is reused, so a trial costs no new process."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Ready for the next pack: a pack keeps nothing outside itself."""
        return True

    def step(self) -> dict[str, Any]:
        """Train the whole pack; points go to the coordinator, so Tune sees one result."""
        sweep: SweepOnRay = self.config["sweep"]
        assignment: Assignment = self.config["assignment"]
        gpu_ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        coordinator = RemoteCoordinator(ray.get_actor(sweep.coordinator, namespace=sweep.namespace))
        try:
            train_pack(assignment, coordinator, sweep.folder, resources=sweep.resources, gpu_ids=",".join(gpu_ids))
        except (WorkError, RequestError, OSError) as error:  # such as a full disk: another try would end so too
            coordinator.give_up(reason_of(error))
        return {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Packs write their own checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Packs read their own checkpoints."""


def reason_of(error: BaseException) -> str:
    """What went wrong where it did, as one line without Ray's traceback; the error's type where it says nothing."""
    cause = getattr(error, "cause", None) or error
    return next(reversed(str(cause).strip().splitlines()), type(cause).__name__)


class PackSearcher(Searcher):
    """Hands the coordinator's packs to Ray Tune, and failures back.

    As many at once as the cluster can hold, and one more, so that one that can grow sees that it should.
    """

    def __init__(self, actor: Any, sweep: SweepOnRay) -> None:
        super().__init__(metric="done", mode="max")
        self._actor, self._sweep = actor, sweep
        self._packs: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next pack; None when the cluster is full, FINISHED when the sweep has none left."""
        slots = pack_slots(self._sweep.resources)
        if len(self._packs) > slots:
            return None
        assignment: Assignment | None = ray.get(self._actor.next_pack.remote(slots))
        if assignment is None:
            return Searcher.FINISHED
        self._packs[trial_id] = assignment.pack
        return {"assignment": assignment, "sweep": self._sweep}

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
