"""``oplstm plan``: what a job would do, without doing it."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.jobfile.overruled import overruled
from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Sampler
from jobs.operations.planning.hours import PlannedPack, estimate_hours
from jobs.operations.planning.packs import foresee_packs, slots_for
from jobs.operations.requirements import check_data, disk_bytes
from jobs.store.home import PACK_SIZES
from jobs.sweep.proposals import Impossible, Proposal, proposed
from oplstm.errors import RequestError
from search_spaces.samplers import is_adaptive

LIMIT = 10_000
"""Trials that a plan looks at."""


@dataclass(frozen=True)
class Plan:
    """What a job would do.

    Attributes:
        trials: Configurations that would be trained.
        signatures: Different shapes among them.
        packs: Programs that would be scheduled on the slots of this machine; None if their sizes are measured at the
            start.
        pack_sizes: Runs in a pack, of each size that ``pack: auto`` remembers; None without it.
        cpu_hours: Of all runs one by one on one core, estimated from a few updates of some of them on this machine;
            None if it was not measured.
        disk_bytes: Estimated.
        impossible: Points among the trials of which the space makes no run, and why the first of them has none.
        learns_from_results: The sampler, where its proposals depend on results, which a plan has none of: it draws at
            random from the space instead, as such samplers begin. None where it has what the sweep will try.
        notes: What else a person should know of it.
        packed_hours: As ``cpu_hours``, in the packs; None where an update of them takes too long to be timed.
        planned_packs: The packs, if any has several runs; with sizes that are measured at the start, as they would be
            if all runs paid.
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
    packed_hours: float | None = None
    planned_packs: tuple[PlannedPack, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def make_plan(job: Job, data: Path, *, notes: Sequence[str] = (), slots: int | None = None) -> Plan:
    """Propose every trial of a job in memory, put them into packs, and time some of them.

    Args:
        job: The job, checked.
        data: The folder of imported datasets.
        notes: What else a person should know of it.
        slots: How many packs are trained at once; None for as many as this machine does.

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
    foreseen = foresee_packs(job, runs, path=data.parent / PACK_SIZES, slots=slots or slots_for(job))
    hours = estimate_hours(runs, foreseen.packs, data)
    packed = [pack.hours for pack in hours.packs if pack.hours is not None]
    return Plan(
        trials=len(tried),
        signatures=len({run.signature for run in runs}),
        packs=len(foreseen.packs) if foreseen.known else None,
        pack_sizes=foreseen.sizes,
        cpu_hours=hours.one_by_one,
        disk_bytes=disk_bytes(job),
        impossible=len(impossible),
        why_impossible=impossible[0] if impossible else None,
        learns_from_results=learns,
        notes=(*notes, *overruled(job)),
        packed_hours=sum(packed) if len(packed) == len(hours.packs) else None,
        planned_packs=hours.packs if any(pack.runs > 1 for pack in hours.packs) else (),
    )
