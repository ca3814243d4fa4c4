"""What a job needs before it can start: its data, and room on the disk."""

from pathlib import Path

from jobs.jobfile.schema import Job
from jobs.sweep.proposals import Proposal, proposed
from oplstm.configuration import Problems, build
from oplstm.episodes.registry import BENCHMARKS
from oplstm.training.pack import Pack

BYTES_A_NUMBER = 4
COPIES = 2 * 4 + 1
"""Of the weights on disk: two checkpoints of weights, two moments and best weights, and the model."""
UNBOUNDED_GRID = 100
"""Trials that are assumed where a job does not say how many."""


def disk_bytes(job: Job) -> int:
    """Estimated disk use of a job: checkpoints of what runs at once, and a model for every trial."""
    run = next((proposal.run for proposal in proposed(job) if isinstance(proposal, Proposal)), None)
    if run is None:
        return 0
    numbers = Pack([run], ["probe"]).layout.size + run.budget.validation_tasks
    return numbers * BYTES_A_NUMBER * COPIES * (job.trial_limit or UNBOUNDED_GRID)


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
