"""All that one process trains of a pack: its tries, and its halves one after the other where memory runs out."""

import time
import traceback
from collections.abc import Callable
from typing import Final

from jobs.execution.devices import choose_device, remember_outgrown
from jobs.execution.pack_worker import CoordinatorCalls, Tick, errors_told, train_pack
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.messages import Assignment
from oplstm.training.machine.memory import give_back_freed, is_out_of_memory

LOOK_SECONDS: Final = 0.5


def pause(seconds: float, folder: SweepFolder) -> None:
    """Wait, unless the sweep is asked to stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not folder.asked_to_stop():
        time.sleep(min(left, LOOK_SECONDS))


def train_in_turns(
    assignment: Assignment,
    coordinator: CoordinatorCalls,
    folder: SweepFolder,
    *,
    resources: Resources,
    gpu_ids: str = "",
    tick: Tick | None = None,
    wait: Callable[[float, SweepFolder], None] = pause,
) -> None:
    """Train the pack that ``Coordinator.next_pack`` gave; where memory runs out, one half of it after the other.

    Args:
        assignment: The pack.
        coordinator: Of its sweep.
        folder: Of its sweep.
        resources: What the pack gets.
        gpu_ids: The GPUs that it was given, as Ray names them.
        tick: Moves the progress bar, if this process has one.
        wait: Waits so many seconds before another try.

    Raises:
        WorkError: A checkpoint cannot be written or read.
    """
    wait(coordinator.wait_before(assignment.pack), folder)
    turn: Assignment | None = assignment
    while turn is not None:
        if not _fits(turn, coordinator, folder, resources=resources, gpu_ids=gpu_ids, tick=tick):
            device = choose_device(resources.gpus)
            give_back_freed(device)
            outgrown = coordinator.out_of_memory(turn.pack)
            if outgrown is not None:
                remember_outgrown(folder.pack_sizes, outgrown, device=device, resources=resources)
        turn = coordinator.next_half(assignment.pack)


def _fits(
    turn: Assignment,
    coordinator: CoordinatorCalls,
    folder: SweepFolder,
    *,
    resources: Resources,
    gpu_ids: str,
    tick: Tick | None,
) -> bool:
    """Train a pack; False: memory ran out. What it held is free when this returns."""
    try:
        with errors_told(coordinator, turn.pack):
            train_pack(turn, coordinator, folder, resources=resources, gpu_ids=gpu_ids, tick=tick)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    return True
