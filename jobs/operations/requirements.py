"""What a job needs before it can start: its data, room on the disk, processors."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import torch

from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Sampler
from jobs.jobfile.space_source import SpaceSource
from jobs.store.home import Home
from jobs.sweep.proposals import Proposal, proposed
from oplstm.configuration import Problems, build
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.training.checkpoint import KEPT
from oplstm.training.machine.cost import parameters_of
from oplstm.training.run import RunConfig
from search_spaces.samplers import is_adaptive

BYTES_A_NUMBER = 4
COPIES = (KEPT + 2) * 4 + 1
"""Of the weights on disk: those that are kept and the next of checkpoints and the state at the end, with moments and
best weights; a model."""
BYTES_A_SCORE = 8
SCORES = 2
"""Of a test task: its loss, and its accuracy where it has classes."""
BYTES_A_TRIAL, BYTES_A_POINT = 32 << 10, 3 << 10
"""Of journal, study and the text of checkpoints and models: beside all points, and for each."""
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
    """What a job takes on the disk at most, as if all its trials ran at once and were as large as those looked at."""
    learns = job.space is not None and is_adaptive(job.sampler.name)  # such take their time, and have no results yet
    of = job.model_copy(update={"sampler": Sampler()}) if learns else job
    tried = itertools.islice(proposed(of), POINTS_TRIED)
    largest = max((_trial_bytes(each.run) for each in tried if isinstance(each, Proposal)), default=0)
    return largest * (job.trial_limit or UNBOUNDED_GRID)


def _trial_bytes(run: RunConfig) -> int:
    budget, domains = run.budget, 1 + len(run.benchmark.cross())
    numbers = (parameters_of(run) + budget.validation_tasks) * BYTES_A_NUMBER * COPIES
    scores = budget.test_tasks * domains * SCORES * BYTES_A_SCORE
    points = 2 + len(budget.milestones(run.meta_batch_size))
    return numbers + scores + BYTES_A_TRIAL + points * BYTES_A_POINT


def check_data(job: Job, data: Path) -> None:
    """See that the datasets that a checked job needs are in the folder ``data``.

    Raises:
        RequestError: One is not there, or is damaged.
    """
    for needed in benchmarks_of(job):
        needed.open(data)


def benchmarks_of(job: Job) -> tuple[Benchmark, ...]:
    """The benchmark of a checked job, and those of the other domains that it tests on."""
    options = {key: value for key, value in job.benchmark.items() if key != "name"}
    benchmark: Benchmark | None = build(BENCHMARKS[job.benchmark["name"]], options, Problems())
    return () if benchmark is None else (benchmark, *benchmark.cross().values())
