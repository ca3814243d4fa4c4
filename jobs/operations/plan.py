"""``oplstm plan``: what a job would do, without doing it."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Sampler
from jobs.store.home import PACK_SIZES
from jobs.sweep.pack_sizes import planned_packs
from jobs.sweep.proposals import Proposals
from oplstm.configuration import Problems, build
from oplstm.episodes.registry import BENCHMARKS
from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from search_spaces.samplers import is_adaptive

PROBED_SIGNATURES = 6
PROBE_UPDATES = 3
BYTES_A_NUMBER = 4
COPIES = 2 * 4 + 1
"""Of the weights on disk: two checkpoints of weights, two moments and best weights, and the model."""
PLANNED_AT_MOST = 10_000


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
        learns_from_results: The sampler, where its proposals depend on results, which a plan has none of: it draws at
            random from the space instead, as such samplers begin. None where it has what the sweep will try.
    """

    trials: int
    signatures: int
    packs: int | None
    pack_sizes: tuple[int, ...] | None
    cpu_hours: float | None
    disk_bytes: int
    learns_from_results: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dict(self.__dict__)


def make_plan(job: Job, data: Path) -> Plan:
    """Propose every trial of a job in memory, group them, and time some of them.

    Raises:
        RequestError: The datasets that it needs are not in the folder ``data``.
    """
    check_data(job, data)
    learns = job.sampler.name if job.space is not None and is_adaptive(job.sampler.name) else None
    proposals = Proposals(job.model_copy(update={"sampler": Sampler()}) if learns else job)
    runs: list[RunConfig] = []
    while len(runs) < PLANNED_AT_MOST and (proposal := proposals.ask()) is not None:
        runs.append(proposal.run)
    groups = Counter(run.signature for run in runs)
    packs, pack_sizes = planned_packs(job, runs, data.parent / PACK_SIZES)
    firsts = {(run.signature, run.passes(training=True), run.meta_batch_size): run for run in reversed(runs)}
    probed = list(firsts.values())[:: max(1, len(firsts) // PROBED_SIGNATURES)]
    seconds = sum(_seconds(run, data) for run in probed) / len(probed) * len(runs)
    return Plan(len(runs), len(groups), packs, pack_sizes, seconds / 3600, disk_bytes(job), learns)


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


def disk_bytes(job: Job) -> int:
    """Estimated disk use of a job: checkpoints of what runs at once, and a model for every trial."""
    proposal = Proposals(job).ask()
    if proposal is None:
        return 0
    numbers = Pack([proposal.run], ["probe"]).layout.size + proposal.run.budget.validation_tasks
    return numbers * BYTES_A_NUMBER * COPIES * (job.trial_limit or 100)


def check_data(job: Job, data: Path) -> None:
    """See that the datasets that a checked job needs are in the folder ``data``.

    Raises:
        RequestError: One is not there, or is damaged.
    """
    options = {key: value for key, value in job.benchmark.items() if key != "name"}
    benchmark = build(BENCHMARKS[job.benchmark["name"]], options, Problems())
    if benchmark is not None:
        for needed in (benchmark, *benchmark.cross().values()):
            needed.open(data)
