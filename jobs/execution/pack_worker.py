"""Training one pack in this process, whoever asked for it: the command line or a Ray actor."""

import contextlib
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, TextIO

import torch

from jobs.execution.devices import choose_device, device_tags, measured_size
from jobs.execution.first_weights import FirstWeights
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.store.memory import Memory
from jobs.sweep.messages import Assignment, NamedRun, Outgrown, StartedPack
from oplstm.errors import RequestError, WorkError
from oplstm.training.checkpoint import hand_over, runs_of_checkpoint
from oplstm.training.device import Device
from oplstm.training.ends import gather_ends
from oplstm.training.loop import Trainer
from oplstm.training.machine.allocator import keep_freed_memory
from oplstm.training.machine.memory import forget_peak, peak_bytes
from oplstm.training.pack import Pack
from oplstm.training.reports import Point, RunEnd
from oplstm.training.run import RunConfig

STOP_POLL_SECONDS = 0.5

Tick = Callable[[int, int], None]
"""Called after every meta-update with the pack's updates and the number of its runs."""


class CoordinatorCalls(Protocol):
    """The part of the coordinator that a pack talks to."""

    def sized(self, name: str, capacity: int) -> None:
        """Fill the pack, which can hold so many runs."""
        ...

    def started(self, name: str, device: dict[str, str]) -> StartedPack | None:
        """The pack as it is now; None if nothing is left to train in it."""
        ...

    def joins(self, name: str, update: int, room: int) -> Sequence[NamedRun]:
        """Trials that come into the pack at this update."""
        ...

    def expired(self, name: str, update: int, trials: Sequence[str]) -> None:
        """Write that the hours of these trials are over at this update of the pack."""
        ...

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Write the points; returns the runs to prune."""
        ...

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Write the ends."""
        ...

    def settle(self) -> None:
        """Return when all that was written is on the disk."""
        ...

    def tried(self, name: str, error: str) -> None:
        """Keep the traceback of a try that has raised an error."""
        ...

    def wait_before(self, pack: str) -> float:
        """Seconds to wait before this try of the pack."""
        ...

    def out_of_memory(self, name: str) -> Outgrown | None:
        """Halve the pack, or fail it if it is a run alone; what is to be remembered of it."""
        ...

    def next_half(self, name: str) -> Assignment | None:
        """Which pack comes next in the process of this one."""
        ...


class PackListener:
    """Passes a pack's reports on, ends with the memory that it took, and watches for a request to stop.

    Args:
        coordinator: Receives the reports.
        pack: Name of the pack.
        folder: Of the sweep; it knows of requests to stop.
        device: Whose memory is looked at.
        tick: Moves the progress bar, if this process has one.
        first: Is told which runs come in.
    """

    def __init__(
        self,
        coordinator: CoordinatorCalls,
        pack: str,
        *,
        folder: SweepFolder,
        device: torch.device,
        tick: Tick | None = None,
        first: FirstWeights | None = None,
    ) -> None:
        self._coordinator, self._pack, self._folder, self._tick = coordinator, pack, folder, tick
        self._device, self._runs, self._first = device, 1, first or FirstWeights(folder)
        self._next_look, self._stop = 0.0, False
        forget_peak(device)

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Training waits here until the coordinator has written the points and decided."""
        return self._coordinator.on_points(points)

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Waits until the ends are written, each with the memory that the pack has taken in this process so far."""
        self._runs = max(self._runs, len(ends))
        most = peak_bytes(self._device)
        memory = {} if most is None else Memory(most, self._runs).metrics()
        self._coordinator.on_ends([replace(end, metrics=end.metrics | memory) for end in ends])

    def on_kept(self, folder: Path) -> None:
        """Waits until it is in the home."""
        self._folder.kept(folder)

    def on_expired(self, update: int, runs: Sequence[str]) -> None:
        """Waits until it is written whose hours are over."""
        self._coordinator.expired(self._pack, update, runs)

    def joins(self, update: int, room: int) -> Sequence[tuple[str, RunConfig]]:
        """Waits until the coordinator has decided which runs come in."""
        joined = self._coordinator.joins(self._pack, update, room)
        self._first.know(joined)
        return [(one.name, one.run) for one in joined]

    def settle(self) -> None:
        """Waits until all that was reported is on the disk."""
        self._coordinator.settle()

    def on_progress(self, update: int, runs: int) -> None:
        """Moves the progress bar, and counts who shares the pack."""
        self._runs = max(self._runs, runs)
        if self._tick is not None:
            self._tick(update, runs)

    def should_stop(self) -> bool:
        """Whether the sweep's folder holds a request to stop."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + STOP_POLL_SECONDS
            self._stop = self._folder.asked_to_stop()
        return self._stop


def train_pack(
    assignment: Assignment,
    coordinator: CoordinatorCalls,
    folder: SweepFolder,
    *,
    resources: Resources,
    gpu_ids: str = "",
    tick: Tick | None = None,
) -> None:
    """Train the pack that ``Coordinator.next_pack`` gave, from its last checkpoint if there is one.

    How many runs it can hold is measured first where that is asked for and not remembered.

    Args:
        assignment: The pack.
        coordinator: Of its sweep.
        folder: Of its sweep.
        resources: What the pack gets.
        gpu_ids: The GPUs that it was given, as Ray names them.
        tick: Moves the progress bar, if this process has one.

    Raises:
        WorkError: A checkpoint cannot be written or read.
    """
    torch.set_num_threads(resources.cpus)
    keep_freed_memory()
    device, name = Device(choose_device(resources.gpus), data=folder.data), assignment.pack
    if (asked := assignment.measure) is not None:
        size = measured_size(folder.pack_sizes, asked.like, device, limit=asked.limit, resources=resources)
        coordinator.sized(name, size)
    started = coordinator.started(name, device_tags(device.device, gpu_ids))
    if started is not None:
        first = FirstWeights(folder)
        first.know(started.runs)
        listener = PackListener(coordinator, name, folder=folder, device=device.device, tick=tick, first=first)
        with warnings_to(folder.pack_log):
            take_over(started, folder, name)
            pack = _pack(started, folder.pack(name), device, first=first)
            Trainer(
                pack,
                listener,
                folder=folder.pack(name),
                run_folder=folder.trials,
                capacity=started.capacity,
                expiries=started.expiries,
                ends=None if started.runs[0].run.final else folder.ends,
            ).train()
    if not folder.asked_to_stop():
        folder.let_go(name)


def take_over(started: StartedPack, folder: SweepFolder, name: str) -> None:
    """Let a pack that begins have the checkpoints of those it comes from, and those that come from it have its own.

    Raises:
        WorkError: The disk is full or not writable.
    """
    if started.origin is not None:
        hand_over(folder.pack(started.origin), folder.pack(name), keep=False)
    if started.extended:
        runs = {one.name: one.run for one in started.runs if one.name in started.initial}
        gather_ends(folder.ends, folder.pack(name), runs)
    for part in started.parts:
        hand_over(folder.pack(name), folder.pack(part), keep=True)


@contextlib.contextmanager
def errors_told(coordinator: CoordinatorCalls, pack: str) -> Iterator[None]:
    """Tell the coordinator the traceback of an error in the block that another try may not meet; it is raised on."""
    try:
        yield
    except (WorkError, RequestError, OSError):
        raise
    except Exception:
        coordinator.tried(pack, traceback.format_exc())
        raise


def _pack(started: StartedPack, checkpoints: Path, device: Device, *, first: FirstWeights) -> Pack:
    """A pack of the runs with which it goes on or begins.

    Of all that were ever in it, the others will join again, or are trained when these have ended.
    """
    runs = {one.name: one.run for one in started.runs}
    kept = runs_of_checkpoint(checkpoints, runs)
    if kept is None:
        kept = {name: runs[name] for name in started.initial}
    return Pack(list(kept.values()), list(kept), device, weights=first)


@contextlib.contextmanager
def warnings_to(path: Path) -> Iterator[None]:
    """Warnings are lines of a file that stays with the sweep, wherever this process's own output goes."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        with contextlib.suppress(OSError), path.open("a") as log:  # a full disk: reported elsewhere
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
