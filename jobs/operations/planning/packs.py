"""The packs that the runs of a job would make, by the rule of the sweep: ``jobs.sweep.packing``."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from jobs.execution.devices import choose_device, remembered_size, slots_here
from jobs.jobfile.schema import Job
from jobs.store.pack_sizes import PackSizes
from jobs.sweep.dealing import Hand, deal
from jobs.sweep.packing import pack_size
from oplstm.training.machine.cost import cost, representatives
from oplstm.training.machine.pack_size import LARGEST
from oplstm.training.run import RunConfig


@dataclass(frozen=True)
class ForeseenPacks:
    """The packs that a job would make.

    Attributes:
        packs: Their runs. A run that would join one that runs already is in a pack of its own or with others like it.
        sizes: Runs in a pack, of each size that ``pack: auto`` remembers; None without it.
        known: Whether all sizes are known. Else packs are foreseen as large as they would be if all runs paid.
    """

    packs: tuple[tuple[RunConfig, ...], ...]
    sizes: tuple[int, ...] | None
    known: bool


def slots_for(job: Job) -> int:
    """How many packs of a job this machine trains at once: a sweep on all its GPUs, seeds of one run on one."""
    gpus = job.resources.gpus
    if not gpus or job.space is None:
        return slots_here(job.resources)
    return max(1, int(torch.cuda.device_count() / gpus + 1e-9))


def foresee_packs(job: Job, runs: Sequence[RunConfig], *, path: Path, slots: int) -> ForeseenPacks:
    """Deal the runs of a job out.

    Args:
        job: The job.
        runs: Those that it proposes.
        path: Where measured pack sizes are remembered.
        slots: How many packs are trained at once.
    """
    groups: dict[Hashable, list[RunConfig]] = {}
    for run in runs:
        groups.setdefault(run.signature, []).append(run)
    size, remembered, device = pack_size(job), set[int](), choose_device(job.resources.gpus)
    packs: list[tuple[RunConfig, ...]] = []
    known = True
    for group in groups.values():
        largest = size
        if largest is None:
            like, limit = representatives(group), min(len(group), LARGEST)
            largest = remembered_size(PackSizes(path), like, device, limit=limit, resources=job.resources)
            known = known and largest is not None
            remembered |= set() if largest is None else {largest}
        evenly = size is None or job.space is None
        packs += _dealt(group, largest or LARGEST, slots, evenly=evenly)
    return ForeseenPacks(tuple(packs), tuple(sorted(remembered)) if size is None else None, known)


def _dealt(runs: Sequence[RunConfig], size: int, slots: int, *, evenly: bool) -> list[tuple[RunConfig, ...]]:
    """Packs of at most ``size`` runs: on all slots, or no more than are needed."""
    costs = [cost(run) for run in runs]
    left = sorted(range(len(runs)), key=lambda place: -costs[place])
    packs: list[tuple[RunConfig, ...]] = []
    while left:
        most = len(left) if evenly else -(-len(left) // size)
        dealt = deal([costs[place] for place in left], [Hand(0.0, size)] * min(slots, most))
        packs += [tuple(runs[left[place]] for place in places) for places in dealt]
        gone = {place for places in dealt for place in places}
        left = [run for place, run in enumerate(left) if place not in gone]
    return packs
