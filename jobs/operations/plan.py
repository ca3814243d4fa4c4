"""``oplstm plan``: what a job would do, without doing it."""

import itertools
import math
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jobs.execution.devices import choose_device, size_key
from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Sampler
from jobs.operations.requirements import check_data, disk_bytes
from jobs.store.home import PACK_SIZES
from jobs.store.pack_sizes import PackSizes
from jobs.sweep.packing import pack_size
from jobs.sweep.proposals import Impossible, Proposal, proposed
from oplstm.errors import RequestError
from oplstm.training.device import Device
from oplstm.training.machine.cost import representatives
from oplstm.training.machine.pack_size import LARGEST
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from search_spaces.samplers import is_adaptive

PROBED_SIGNATURES = 6
PROBE_UPDATES = 3
LIMIT = 10_000
"""Trials that a plan looks at."""


@dataclass(frozen=True)
class Plan:
    """What a job would do.

    Attributes:
        trials: Configurations that would be trained.
        signatures: Different shapes among them.
        packs: Programs that Ray Tune would schedule; None if their sizes are measured at the start.
        pack_sizes: Runs in a pack, of each size that ``pack: auto`` remembers; None without it.
        cpu_hours: Estimated from a few updates of some shapes, T and meta-batch sizes on this machine; None if it was
            not measured.
        disk_bytes: Estimated.
        impossible: Points among the trials of which the space makes no run, and why the first of them has none.
        learns_from_results: The sampler, where its proposals depend on results, which a plan has none of: it draws at
            random from the space instead, as such samplers begin. None where it has what the sweep will try.
        notes: What else a person should know of it.
    """

    trials: int
    signatures: int
    packs: int | None
    pack_sizes: tuple[int, ...] | None
    cpu_hours: float | None
    disk_bytes: int
    impossible: int = 0
    why_impossible: str | None = None
    learns_from_results: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(self.__dict__)


def make_plan(job: Job, data: Path, *, notes: Sequence[str] = ()) -> Plan:
    """Propose every trial of a job in memory, group them, and time some of them.

    Args:
        job: The job, checked.
        data: The folder of imported datasets.
        notes: What else a person should know of it.

    Raises:
        RequestError: The datasets that it needs are not there, or its space makes no run.
    """
    check_data(job, data)
    learns = job.sampler.name if job.space is not None and is_adaptive(job.sampler.name) else None
    tried = list(itertools.islice(proposed(job.model_copy(update={"sampler": Sampler()}) if learns else job), LIMIT))
    runs = [proposal.run for proposal in tried if isinstance(proposal, Proposal)]
    impossible = [point.reason for point in tried if isinstance(point, Impossible)]
    if not runs:
        last = f"; the last {impossible[-1]}" if impossible else ""
        raise RequestError(f"{job.space} gives no run at any of {len(tried)} points{last}")
    groups = Counter(run.signature for run in runs)
    packs, pack_sizes = planned_packs(job, runs, data.parent / PACK_SIZES)
    firsts = {(run.signature, run.passes(training=True), run.meta_batch_size): run for run in reversed(runs)}
    probed = list(firsts.values())[:: max(1, len(firsts) // PROBED_SIGNATURES)]
    seconds = sum(_seconds(run, data) for run in probed) / len(probed) * len(runs)
    return Plan(
        trials=len(tried),
        signatures=len(groups),
        packs=packs,
        pack_sizes=pack_sizes,
        cpu_hours=seconds / 3600,
        disk_bytes=disk_bytes(job),
        impossible=len(impossible),
        why_impossible=impossible[0] if impossible else None,
        learns_from_results=learns,
        notes=tuple(notes),
    )


def _seconds(run: RunConfig, data: Path) -> float:
    """Estimated training time of one run on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pack = Pack([run], ["probe"], Device(data=data))
        pack.step()
        start = time.perf_counter()
        for _ in range(PROBE_UPDATES):
            pack.step()
        return (time.perf_counter() - start) / PROBE_UPDATES * run.budget.update_count(run.meta_batch_size)
    finally:
        torch.set_num_threads(threads)


def planned_packs(job: Job, runs: Sequence[RunConfig], path: Path) -> tuple[int | None, tuple[int, ...] | None]:
    """How many packs the runs of a job make, and with ``pack: auto`` the sizes that are remembered for this machine.

    The first is None while a size is yet to be measured, the second without ``pack: auto``.
    """
    groups: dict[Hashable, list[RunConfig]] = {}
    for run in runs:
        groups.setdefault(run.signature, []).append(run)
    size = pack_size(job)
    if size is not None:
        return sum(math.ceil(len(group) / size) for group in groups.values()), None
    sizes, device = PackSizes(path), choose_device(job.resources.gpus)
    found: list[int] = []
    packs = 0
    for group in groups.values():
        key = size_key(representatives(group), device, job.resources)
        remembered = sizes.find(key, min(len(group), LARGEST))
        if remembered is not None:
            found.append(remembered)
            packs += math.ceil(len(group) / remembered)
    return packs if len(found) == len(groups) else None, tuple(sorted(set(found)))
