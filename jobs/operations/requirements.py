"""What a job needs before it can start: its data, room on the disk, processors."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import torch

from jobs.jobfile.schema import Job
from jobs.jobfile.space_source import SpaceSource
from jobs.store.home import Home
from jobs.sweep.proposals import Proposal, proposed
from oplstm.configuration import Problems, build
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.training.parameters import parameter_count
from oplstm.training.run_size import counted_parameters

BYTES_A_NUMBER = 4
COPIES = 2 * 4 + 1
"""Of the weights on disk: two checkpoints of weights, two moments and best weights, and the model."""
UNBOUNDED_GRID = 100
"""Trials that are assumed where a job does not say how many."""
POINTS_TRIED = 100
"""For one of which the space makes a run."""


def check_here(job: Job, home: Home, *, on_cluster: bool) -> None:
    """See that a checked job could start here, and its final run too; nothing is made.

    Args:
        job: The job.
        home: Where it would run.
        on_cluster: Whether its packs go to a Ray cluster, of which this machine may be the least part.

    Raises:
        RequestError: Everything that is missing.
    """
    checks: list[Callable[[], None]] = [
        lambda: _check_space(job),
        lambda: check_data(job, home.data),
        lambda: home.check_writable(disk_bytes(job), make=False),
    ]
    if not on_cluster:
        checks.append(lambda: check_machine(job))
    problems: list[str] = []
    for check in checks:
        try:
            check()
        except RequestError as error:
            problems += error.problems
    if problems:
        raise RequestError(problems)


def _check_space(job: Job) -> None:
    SpaceSource.of(job.space)


def check_machine(job: Job) -> None:
    """See that this machine has what a pack of a job asks for, and what its final run does.

    Raises:
        RequestError: It has less.
    """
    there = {"cpus": float(os.cpu_count() or 1), "gpus": float(torch.cuda.device_count())}
    asked = {"resources": job.resources, "final": job.final}
    elsewhere = " or, for a sweep on a cluster, --ray-address"
    problems = [
        f"{section}.{name}: {wanted:g} asked for, this machine has {there[name]:g}; use "
        f"--set {section}.{name}={there[name]:g}{elsewhere if section == 'resources' and job.space else ''}"
        for section, part in asked.items()
        for name in there
        if (wanted := getattr(part, name)) > there[name]
    ]
    if problems:
        raise RequestError(problems)


def disk_bytes(job: Job) -> int:
    """Estimated disk use of a job: checkpoints of what runs at once, and a model for every trial."""
    tried = itertools.islice(proposed(job), POINTS_TRIED)
    run = next((proposal.run for proposal in tried if isinstance(proposal, Proposal)), None)
    if run is None:
        return 0
    counted = counted_parameters(run.learner, run.hyperparameters, run.benchmark)
    numbers = (parameter_count(run) if counted is None else counted) + run.budget.validation_tasks
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
