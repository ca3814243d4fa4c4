"""Packs as Ray Tune's trials: the trainable that trains them, and the searcher that hands them out."""

from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from jobs.execution.cluster import pack_slots
from jobs.execution.far_home import far_home
from jobs.execution.home_mark import Mark
from jobs.execution.nodes import other_code
from jobs.execution.remote_coordinator import RemoteCoordinator, reason_of
from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.execution.turns import train_in_turns
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.messages import Assignment
from oplstm.errors import RequestError, WorkError

KILLED_FOR_MEMORY = ("running low on memory", "OutOfMemoryError")
"""In what Ray says of a process that it killed."""


@dataclass(frozen=True)
class SweepOnRay:
    """Where the packs of a sweep find what they need.

    Attributes:
        plugins: Of the sweep; first, because what follows may be made of them.
        coordinator: Name of the coordinator's actor.
        namespace: Ray's, that the actor is in.
        folder: Of the sweep.
        mark: In that folder, for the nodes that see it.
        resources: What a pack gets.
        node: Of the coordinator.
        code: Digest of the oplstm that it runs.
    """

    plugins: ShippedPlugins
    coordinator: str
    namespace: str
    folder: SweepFolder
    mark: Mark
    resources: Resources
    node: str
    code: str


@dataclass(frozen=True)
class PackOnRay:
    """A pack for a worker, which unpickles the fields in their order.

    Attributes:
        sweep: That the pack is of; with the plug-ins that the assignment may be made of.
        assignment: The pack.
    """

    sweep: SweepOnRay
    assignment: Assignment


class PackTrainable(tune.Trainable):
    """Trains one pack after another; its actor is reused, so a trial costs no new process."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Ready for the next pack: a pack keeps nothing outside itself."""
        return True

    def step(self) -> dict[str, Any]:
        """Train the whole pack; points go to the coordinator, so Tune sees one result."""
        pack: PackOnRay = self.config["pack"]
        sweep, assignment = pack.sweep, pack.assignment
        gpu_ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        actor = ray.get_actor(sweep.coordinator, namespace=sweep.namespace)

        def call(method: str, *arguments: Any) -> Any:
            return ray.get(getattr(actor, method).remote(*arguments))

        coordinator = RemoteCoordinator(call)
        elsewhere = ray.get_runtime_context().get_node_id() != sweep.node
        if elsewhere and (problem := other_code(sweep.code)) is not None:  # it has joined just now
            coordinator.give_up(problem)
            return {"done": True}
        try:
            gpus, resources = ",".join(gpu_ids), sweep.resources
            if elsewhere and not sweep.mark.is_seen():
                with far_home(call, sweep.folder) as (far, folder):
                    train_in_turns(assignment, far, folder, resources=resources, gpu_ids=gpus)
            else:
                train_in_turns(assignment, coordinator, sweep.folder, resources=resources, gpu_ids=gpus)
        except (WorkError, RequestError, OSError) as error:  # such as a full disk: another try would end so too
            coordinator.give_up(reason_of(error))
        return {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Packs write their own checkpoints."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Packs read their own checkpoints."""


class MemoryKills(tune.Callback):
    """Tells the coordinator of packs that Ray killed because the machine's memory was nearly full.

    Then the pack is halved before its next try. A run alone is only tried again: others may have taken the memory.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack will be tried again."""
        last = (trial.get_error() or "").rpartition("Failure #")[2]
        if any(words in last for words in KILLED_FOR_MEMORY):
            ray.get(self._actor.out_of_memory.remote(trial.config["pack"].assignment.pack, alone=False))


class PackSearcher(Searcher):
    """Hands the coordinator's packs to Ray Tune, and failures back.

    As many at once as the cluster can hold, and one more, so that one that can grow sees that it should.
    """

    def __init__(self, actor: Any, sweep: SweepOnRay) -> None:
        super().__init__(metric="done", mode="max")
        self._actor, self._sweep = actor, sweep
        self._packs: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next pack; None when the cluster is full, FINISHED when the sweep has none left.

        While packs are trained there may be another: a user may add a trial, or a limit of theirs holds trials back.
        """
        slots = pack_slots(self._sweep.resources)
        if len(self._packs) > slots:
            return None
        assignment: Assignment | None = ray.get(self._actor.next_pack.remote(slots))
        if assignment is None:
            return None if self._packs else Searcher.FINISHED
        self._packs[trial_id] = assignment.pack
        return {"pack": PackOnRay(self._sweep, assignment)}

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
