"""How many runs to train side by side on a device: packs are measured, twice as large each time, while that pays."""

import contextlib
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from oplstm.training.device import Device
from oplstm.training.machine.memory import PeakMemory, give_back_freed, is_out_of_memory, predicted_memory
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from oplstm.training.update.captured import EAGER_CALLS, UNRECORDED_CALLS

LARGEST = 256
GAIN = 1.1
"""Twice the runs must train so many times the tasks a second; what does not is measured once more."""
CUDA_SHARE, CPU_SHARE = 0.8, 0.5
"""Of the free memory, at most so much for a pack."""
WARM_UPS, WARM_UP_SECONDS = {"cuda": EAGER_CALLS + 1, "cpu": UNRECORDED_CALLS + 1}, 2.0
"""Updates before the clock starts, by device, with the capture or the recording; fewer if they take that long."""
BURSTS, BURST_SECONDS, BURST_UPDATES = 3, 0.1, 20


class Measured(NamedTuple):
    """A pack that was tried.

    Attributes:
        copies: Of the runs that stand for all, so many times each.
        seconds: To train them to their end, by some meta-updates of all and of those that are left later on.
        bytes: The most memory that it has taken; 0 where nobody tells.
    """

    copies: int
    seconds: float
    bytes: float


class Decision(NamedTuple):
    """What follows from the packs tried so far.

    Attributes:
        copies: To try next, or to train with.
        final: Whether to train with them.
    """

    copies: int
    final: bool


def decide(measured: Sequence[Measured], *, limit: int, room: float) -> Decision:
    """Double the pack while that pays, fits and is of use.

    Args:
        measured: The packs tried so far: of one copy, then of twice as many each time, or the largest once more.
        limit: More copies than the first power of two that reaches it are of no use.
        room: Bytes that a pack may take.
    """
    if not measured:
        return Decision(1, final=False)
    seconds: dict[int, float] = {}
    for one in measured:
        seconds[one.copies] = min(one.seconds, seconds.get(one.copies, math.inf))
    largest = max(seconds)
    if largest > 1 and 2 * seconds[largest // 2] < GAIN * seconds[largest]:
        tries = sum(one.copies == largest for one in measured)
        return Decision(largest // 2, final=True) if tries > 1 else Decision(largest, final=False)
    if largest >= limit or predicted_bytes(measured, 2 * largest) > room:
        return Decision(largest, final=True)
    return Decision(2 * largest, final=False)


def predicted_bytes(measured: Sequence[Measured], copies: int) -> float:
    """Memory of a larger pack, from the most that those of each size have taken."""
    taken: dict[int, float | None] = {}
    for one in measured:
        taken[one.copies] = max(one.bytes, taken.get(one.copies) or 0.0)
    return predicted_memory(taken, copies) or 0.0


def probe(like: Sequence[RunConfig], device: Device, limit: int = LARGEST, *, gpu_share: float = 1.0) -> int:
    """The number of runs like these to train side by side on a device; takes some tens of meta-updates.

    Packs of 1, 2, 4, ... copies of all of them are tried; where they differ, first each alone, which a pack of one
    copy must outdo as twice the copies must later on. Where their kinds differ one of two copies may, since some gain
    only from others of their kind.

    Args:
        like: Runs of one signature that stand for those of the pack, the heaviest first.
        device: Where to train.
        limit: How many runs there are to train.
        gpu_share: Of the GPU that the pack has to itself.
    """
    if limit <= 1:
        return 1
    _measure(like[:1], device)  # opens the data and whatever else is needed once
    measured: list[Measured] = []
    room, most, copies = _room(device.device, gpu_share), math.ceil(min(limit, LARGEST) / len(like)), 1
    try:
        if len(like) > 1 and not _pays(like, device, room=room, most=most):
            return 1
        while not (next_one := decide(measured, limit=most, room=room)).final:
            copies = next_one.copies
            measured.append(_measure([*like] * copies, device)._replace(copies=copies))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return copies // 2 * len(like) or 1
    return min(next_one.copies * len(like), LARGEST)


def _pays(like: Sequence[RunConfig], device: Device, *, room: float, most: int) -> bool:
    """Whether runs fit beside each other and are faster so than one by one."""
    alone = [_measure([run], device) for run in like]
    bytes_of_a_copy = max(one.bytes for one in alone) * len(like)
    seconds = sum(one.seconds for one in alone)
    tries = [1, 1] if len({run.kind for run in like}) == 1 or most == 1 else [1, 1, 2]
    return any(
        copies * bytes_of_a_copy <= room and copies * seconds >= GAIN * _measure([*like] * copies, device).seconds
        for copies in tries
    )


def _measure(runs: Sequence[RunConfig], device: Device) -> Measured:
    memory = PeakMemory(device.device)
    pack = Pack(runs, [f"probe-{row}" for row in range(len(runs))], device)
    seconds, made, ends = 0.0, 0, sorted(set(map(_updates, runs)))
    for updates in ends:
        pack.keep([row for row, run in enumerate(pack.runs) if _updates(run) > made])
        _warm_up(pack)
        seconds += (updates - made) * min(_burst(pack, BURST_SECONDS / len(ends)) for _ in range(BURSTS))
        made = updates
    return Measured(len(runs), seconds, max(0.0, memory.added() or 0.0))


def _updates(run: RunConfig) -> int:
    return run.budget.update_count(run.meta_batch_size)


def _warm_up(pack: Pack) -> None:
    began = _now(pack.device.device)
    for _ in range(WARM_UPS[pack.device.device.type]):
        pack.step()
        if _now(pack.device.device) - began > WARM_UP_SECONDS:
            break


def _burst(pack: Pack, least: float) -> float:
    """Seconds a meta-update, of as many as take ``least`` seconds."""
    began, updates, end = _now(pack.device.device), 0, time.perf_counter() + least
    while updates == 0 or (time.perf_counter() < end and updates < BURST_UPDATES):
        pack.step()
        updates += 1
    return (_now(pack.device.device) - began) / updates


def _now(device: torch.device) -> float:
    """Seconds, all work so far being done: on the wall, or with one thread its own, which other work does not slow."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def _room(device: torch.device, gpu_share: float) -> float:
    """Bytes that a pack may take: on a CPU its threads' share, because the other cores may train packs too."""
    give_back_freed(device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return CUDA_SHARE * min(free, gpu_share * total)
    return CPU_SHARE * _available() * min(1.0, torch.get_num_threads() / (os.cpu_count() or 1))


def _available() -> float:
    """Bytes of memory that are free, by the machine and by the container; inf where nobody tells."""
    found = math.inf
    with contextlib.suppress(OSError, ValueError, IndexError):
        found = 1024.0 * int(Path("/proc/meminfo").read_text().partition("MemAvailable:")[2].split()[0])
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        limits = Path("/sys/fs/cgroup")
        most, taken = (int((limits / f"memory.{name}").read_text()) for name in ("max", "current"))
        found = min(found, float(most - taken))
    return found
