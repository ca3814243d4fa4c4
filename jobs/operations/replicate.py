"""Training more seeds of a sweep's leading configurations, before one of them is promoted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.execution.devices import require_local_gpu, slots_here
from jobs.execution.in_process import run_in_process
from jobs.jobfile.schema import Job
from jobs.jobfile.sections import REPLICATED_FROM, Replicates, Resources
from jobs.operations.running import owned
from jobs.promotion.racing import next_seeds
from jobs.promotion.scale import Scale
from jobs.promotion.standing import Configuration, costs_of
from jobs.store.events import encode
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.trial import Trial
from jobs.sweep.messages import OnProgress
from jobs.sweep.replicates import replicates_to_come
from tracking.journal.journal import Journal


@dataclass(frozen=True)
class Plan:
    """The replicates that a promotion wants.

    Attributes:
        wanted: How many each trial should have in all, by its number.
        missing: How many of them are still to be trained, in part or whole.
    """

    wanted: Mapping[int, int]
    missing: int


def replicates_of(job: Job, completed: int) -> Replicates | None:
    """How many replicates a job wants where so many trials have completed; None for none."""
    asked = job.promotion.replicates
    if asked is None:
        return Replicates() if completed >= REPLICATED_FROM else None
    return asked or None


def plan_replicates(job: Job, state: SweepState, ranked: list[Trial], *, asked: Replicates | None) -> Plan:
    """The replicates of the first of the ``ranked`` trials; of a race those that were asked for before.

    Args:
        job: Of the sweep.
        state: Of the sweep.
        ranked: Its completed trials, best validation first.
        asked: How many; None for none.
    """
    seeds = 0 if asked is None or asked.race is not None else asked.seeds
    wanted = {trial.number: seeds for trial in ranked[: asked.leaders]} if asked is not None and seeds else {}
    return _plan(job, state, wanted)


def plan_round(job: Job, state: SweepState, *, leaders: Sequence[Configuration], race: int) -> Plan:
    """The next round of a race between a sweep's leaders.

    Args:
        job: Of the sweep.
        state: Of the sweep.
        leaders: On block A, best validation first.
        race: Replicates in all.
    """
    costs = costs_of(leaders, job.measure)
    block = Scale.of(costs, job.measure).block(costs)
    more = next_seeds(block, left=np.asarray(float(race - len(state.replicates))))
    numbers = [state.by_name[leader.name].number for leader in leaders]
    have = Counter(trial.number for trial in state.replicates.values())
    return _plan(job, state, {number: have[number] + 1 for number, gets in zip(numbers, more, strict=True) if gets})


def _plan(job: Job, state: SweepState, wanted: Mapping[int, int]) -> Plan:
    to_come = replicates_to_come(job, state, wanted)
    unended = [trial for trial in state.replicates.values() if not trial.state.ended]
    return Plan(wanted, len(to_come) + len(unended))


def train_replicates(folder: SweepFolder, plan: Plan, *, tracking_uri: str, progress: OnProgress) -> bool:
    """Train the replicates that are missing, on this machine, with what the job gives its final run.

    Args:
        folder: Of the sweep, which does not run.
        plan: What is wanted.
        tracking_uri: Of the MLflow server.
        progress: Shows it.

    Returns:
        Whether all have ended; else the work was stopped, and goes on when this is called again.

    Raises:
        RequestError: The sweep runs, or a GPU is asked for that is not there.
        WorkError: The work failed.
    """
    header = Header.read(folder)
    job = header.job
    resources = Resources(
        cpus=job.final.cpus, gpus=job.final.gpus, pack=job.resources.pack, retries=job.resources.retries
    )
    require_local_gpu(resources.gpus)
    with owned(folder):
        to_come = replicates_to_come(job, SweepState.of(folder, header), plan.wanted)
        if to_come:
            with Journal(folder.journal) as journal:
                journal.append([encode(event) for event in to_come])
        run_in_process(
            folder, tracking_uri, progress, resources=resources, slots=slots_here(resources), replicates_only=True
        )
    replicates = SweepState.of(folder, header).replicates.values()
    return all(trial.state.ended for trial in replicates)
