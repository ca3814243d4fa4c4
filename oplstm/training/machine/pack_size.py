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
SHARE = 0.05
"""Of what training all runs one by one would take, at most so much for measuring."""


class Measured(NamedTuple):
    """A pack that was tried.

    Attributes:
        copies: Of the runs that stand for all, so many times each.
        seconds: To train them to their end, by some meta-updates of all and of those that are left later on.
        bytes: The most memory that it has taken; 0 where nobody tells.
        took: Seconds that trying it took.
    """

    copies: int
    seconds: float
    bytes: float
    took: float = 0.0


class Size(NamedTuple):
    """How many runs to train side by side.

    Attributes:
        runs: So many.
        sure: Whether all sizes that may pay were tried; else there is so little to train that trying more would cost
            more than it can give, which says nothing of longer sweeps.
    """

    runs: int
    sure: bool


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
    largest, pays = max(one.copies for one in measured), paying(measured)
    if pays < largest:
        tries = sum(one.copies == largest for one in measured)
        return Decision(pays, final=True) if tries > 1 else Decision(largest, final=False)
    if largest >= limit or predicted_bytes(measured, 2 * largest) > room:
        return Decision(largest, final=True)
    return Decision(2 * largest, final=False)


def paying(measured: Sequence[Measured]) -> int:
    """The copies that pay, by the packs tried so far: the most, or half of them."""
    seconds: dict[int, float] = {}
    for one in measured:
        seconds[one.copies] = min(one.seconds, seconds.get(one.copies, math.inf))
    largest = max(seconds)
    return largest // 2 if largest > 1 and 2 * seconds[largest // 2] < GAIN * seconds[largest] else largest


def _foretold(measured: Sequence[Measured], *, limit: int, room: float) -> int:
    """The copies to train with where no more can be tried: as many as fit, if the last doubling still paid."""
    copies = paying(measured)
    still_pays = copies > 1 and copies == max(one.copies for one in measured)
    while still_pays and copies < limit and predicted_bytes(measured, 2 * copies) <= room:
        copies *= 2
    return copies


def predicted_bytes(measured: Sequence[Measured], copies: int) -> float:
    """Memory of a larger pack, from the most that those of each size have taken."""
    taken: dict[int, float | None] = {}
    for one in measured:
        taken[one.copies] = max(one.bytes, taken.get(one.copies) or 0.0)
    return predicted_memory(taken, copies) or 0.0


def probe(like: Sequence[RunConfig], device: Device, limit: int = LARGEST, *, gpu_share: float = 1.0) -> Size:
    """The number of runs like these to train side by side on a device; takes some tens of meta-updates.

    Packs of 1, 2, 4, ... copies of all of them are tried; where they differ, first each alone, which a pack of one
    copy must outdo as twice the copies must later on. Where their kinds differ one of two copies may, since some gain
    only from others of their kind. No pack is tried that would bring the whole above `SHARE` of all training.

    Args:
        like: Runs of one signature that stand for those of the pack, the heaviest first.
        device: Where to train.
        limit: How many runs there are to train.
        gpu_share: Of the GPU that the pack has to itself.
    """
    if limit <= 1:
        return Size(1, sure=True)
    began = _now(device.device)
    _measure(like[:1], device)  # opens the data and whatever else is needed once
    measured: list[Measured] = []
    room, most, copies = _room(device.device, gpu_share), math.ceil(min(limit, LARGEST) / len(like)), 1

    def affordable(took: float) -> bool:
        return _now(device.device) - began + took <= SHARE * limit * one_run

    try:
        alone = [_measure([run], device) for run in like]
        one_run, took = (sum(of) / len(like) for of in ([one.seconds for one in alone], [one.took for one in alone]))
        if len(like) == 1:
            measured.append(alone[0])
        for copies in _first_tries(like, alone, room=room, most=most):
            if not affordable(copies * len(like) * took):
                return Size(1, sure=False)
            measured.append(_measure([*like] * copies, device)._replace(copies=copies))
            if copies * len(like) * one_run >= GAIN * measured[-1].seconds:
                break
        else:
            if len(like) > 1:
                return Size(1, sure=True)
        while not (next_one := decide(measured, limit=most, room=room)).final:
            copies = next_one.copies
            if not affordable(measured[-1].took * copies / measured[-1].copies):
                return Size(min(_foretold(measured, limit=most, room=room) * len(like), LARGEST), sure=False)
            measured.append(_measure([*like] * copies, device)._replace(copies=copies))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Size(copies // 2 * len(like) or 1, sure=True)
    return Size(min(next_one.copies * len(like), LARGEST), sure=True)


def _first_tries(like: Sequence[RunConfig], alone: Sequence[Measured], *, room: float, most: int) -> list[int]:
    """Copies of runs that differ, one of which must be faster than the runs one by one."""
    if len(like) == 1:
        return []
    bytes_of_a_copy = max(one.bytes for one in alone) * len(like)
    tries = [1, 1] if len({run.kind for run in like}) == 1 or most == 1 else [1, 1, 2]
    return [copies for copies in tries if copies * bytes_of_a_copy <= room]


def _measure(runs: Sequence[RunConfig], device: Device) -> Measured:
    memory, began = PeakMemory(device.device), _now(device.device)
    pack = Pack(runs, [f"probe-{row}" for row in range(len(runs))], device)
    seconds, made, ends = 0.0, 0, sorted(set(map(_updates, runs)))
    for updates in ends:
        pack.keep([row for row, run in enumerate(pack.runs) if _updates(run) > made])
        _warm_up(pack)
        seconds += (updates - made) * _seconds_of_an_update(pack, BURST_SECONDS / len(ends))
        made = updates
    return Measured(len(runs), seconds, max(0.0, memory.added() or 0.0), _now(device.device) - began)


def _seconds_of_an_update(pack: Pack, least: float) -> float:
    """The best of some bursts; of updates that take longer than a burst, fewer."""
    began, found = _now(pack.device.device), [_burst(pack, least)]
    while len(found) < BURSTS and _now(pack.device.device) - began < BURSTS * least:
        found.append(_burst(pack, least))
    return min(found)


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
