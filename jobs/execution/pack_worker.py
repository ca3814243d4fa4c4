"""Training one pack in this process, whoever asked for it: the command line or a Ray actor."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from jobs.store.home import SweepFolder
from jobs.store.provenance import device_tags
from jobs.sweep.pack_sizes import choose_device, measured_size
from oplstm.errors import RequestError
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.machine.allocator import keep_freed_memory
from oplstm.training.pack import Pack
from oplstm.training.reports import Point, RunEnd
from oplstm.training.run import RunConfig

STOP_POLL_SECONDS = 0.5


class CoordinatorCalls(Protocol):
    """The part of the coordinator that a pack talks to."""

    def sized(self, name: str, capacity: int) -> None:
        """Fill the pack, which can hold so many runs."""
        ...

    def started(self, name: str, device: dict[str, str]) -> Mapping[str, Any] | None:
        """The pack as it is now; None if nothing is left to train in it."""
        ...

    def joins(self, name: str, update: int, room: int) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Trials that come into the pack at this update."""
        ...

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Write the points; returns the runs to prune."""
        ...

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Write the ends."""
        ...


class PackListener:
    """Passes a pack's reports on and watches for a request to stop."""

    def __init__(
        self,
        coordinator: CoordinatorCalls,
        pack: str,
        folder: SweepFolder,
        tick: Callable[[int, int], None] | None = None,
    ) -> None:
        self._coordinator, self._pack, self._folder, self._tick = coordinator, pack, folder, tick
        self._next_look, self._stop = 0.0, False

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Training waits here until the coordinator has written the points and decided."""
        return self._coordinator.on_points(points)

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Waits until the ends are written."""
        self._coordinator.on_ends(ends)

    def joins(self, update: int, room: int) -> Sequence[tuple[str, RunConfig]]:
        """Waits until the coordinator has decided which runs come in."""
        joined = self._coordinator.joins(self._pack, update, room)
        return [(name, RunConfig.from_dict(run)) for name, run in joined]

    def on_progress(self, update: int, runs: int) -> None:
        """Moves the progress bar, if this process has one."""
        if self._tick is not None:
            self._tick(update, runs)

    def should_stop(self) -> bool:
        """Whether the sweep's folder holds a request to stop."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + STOP_POLL_SECONDS
            self._stop = self._folder.stop_request.exists()
        return self._stop


def require_local_gpu(gpus: float) -> None:
    """See that this machine has the GPU that a job asks for.

    Raises:
        RequestError: It has none.
    """
    if gpus > torch.cuda.device_count():
        raise RequestError(
            f"resources.gpus: {gpus:g} asked for, this machine has {torch.cuda.device_count()}; use --set gpus=0"
        )


def train_pack(
    assignment: Mapping[str, Any],
    coordinator: CoordinatorCalls,
    folder: SweepFolder,
    *,
    cpus: int,
    gpus: float,
    gpu_ids: str = "",
    tick: Callable[[int, int], None] | None = None,
) -> None:
    """Train the pack that ``Coordinator.next_pack`` gave, from its last checkpoint if there is one.

    How many runs it can hold is measured first where that is asked for and not remembered.

    Raises:
        WorkError: A checkpoint cannot be written or read.
    """
    torch.set_num_threads(cpus)
    keep_freed_memory()
    if not folder.header.is_file():
        raise RequestError(f"{folder.path} is not visible on {os.uname().nodename}: OPLSTM_HOME must be shared storage")
    device = Device(choose_device(gpus), data=folder.data)
    name, checkpoints = assignment["pack"], folder.pack(assignment["pack"])
    if assignment["capacity"] is None:
        like = RunConfig.from_dict(assignment["like"])
        size = measured_size(folder.pack_sizes, like, device, assignment["limit"], cpus=cpus, gpus=gpus)
        coordinator.sized(name, size)
    started = coordinator.started(name, device_tags(device.device, gpu_ids))
    if started is not None:
        pack = Pack([RunConfig.from_dict(run) for run in started["runs"]], started["names"], device)
        Trainer(
            pack,
            PackListener(coordinator, name, folder, tick),
            checkpoints,
            folder.trials,
            initial=started["initial"],
            capacity=started["capacity"],
        ).train()
    if not folder.stop_request.exists():
        shutil.rmtree(checkpoints, ignore_errors=True)
