"""From a job to the runs that it means: configurations, seeds, the budget of the final run."""

import functools
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from optuna.trial import FixedTrial

from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Pruner, Sampler
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.training.run import OF_EVERY_RUN, RunConfig
from search_spaces.pinned import pinned
from search_spaces.spaces import Space, find_space

Suggested = Mapping[str, Any]
"""What a space returns: hyperparameters by name, of whatever types the learner's own configuration has."""


def space_of(job: Job) -> Space:
    """The space of a job that has one, without the dimensions that the job pins.

    Raises:
        ValueError: There is none of that name.
    """
    return pinned(find_space(str(job.space)), pins(job))


def pins(job: Job) -> dict[str, Any]:
    """What wins over the space: keys of tasks that ``benchmark`` gives, and above all what stands under ``fixed``."""
    of_tasks = _keys_of_tasks(job)
    return {**{key: value for key, value in job.benchmark.items() if key in of_tasks}, **job.fixed}


def suggest(job: Job, trial: Any) -> Suggested:
    """The space's configuration for ``trial`` (any of Optuna's), overridden by what the job pins.

    Raises:
        TypeError: The space returned something else than a dictionary.
        Exception: Whatever the space raises.
    """
    suggested = {} if job.space is None else space_of(job)(trial)
    if not isinstance(suggested, dict):
        raise TypeError(f"a space must return a dictionary of hyperparameters, got {suggested!r}")
    won = _keys_of_tasks(job) & job.benchmark.keys()
    return {**{key: value for key, value in suggested.items() if key not in won}, **job.fixed}


def run_data(job: Job, suggested: Suggested) -> dict[str, Any]:
    """Plain data of the run of a configuration, as that of trial 0; ``build_run`` checks it."""
    of_tasks = _keys_of_tasks(job)
    own = {*OF_EVERY_RUN, *of_tasks}
    return {
        "learner": job.learner,
        "hyperparameters": {key: value for key, value in suggested.items() if key not in own},
        "benchmark": {**job.benchmark, **{key: value for key, value in suggested.items() if key in of_tasks}},
        "budget": job.budget,
        "seed": derived_seed(job.seed, 0),
        "evaluation_seed": job.seed,
        **{key: suggested[key] for key in OF_EVERY_RUN if key in suggested},
    }


def _keys_of_tasks(job: Job) -> set[str]:
    name = str(job.benchmark.get("name"))
    return {field.name for field in fields(BENCHMARKS[name])} if name in BENCHMARKS else set()


def build_trial_run(job: Job, suggested: Suggested) -> RunConfig:
    """The run of a checked job's configuration, as that of trial 0.

    Raises:
        ValueError: The space gave an impossible configuration.
    """
    return RunConfig.from_dict(run_data(job, suggested))


def numbered(job: Job, run: RunConfig, number: int, *, final: bool) -> RunConfig:
    """The same run as that of trial ``number``: a trial's number decides its seeds."""
    seed = derived_seed(job.seed, job.first_seed + number, final=final)
    return replace(run, seed=seed, evaluation_seed=seed if final else job.seed, final=final)


def replicated(job: Job, run: RunConfig, *, number: int, replicate: int) -> RunConfig:
    """The run of trial ``number`` once more, with a seed of its own and on the same validation tasks."""
    sequence = np.random.SeedSequence([job.seed, number, 2, replicate])
    return replace(run, seed=int(sequence.generate_state(1)[0] >> 1))


@functools.lru_cache(maxsize=16)
def derived_seed(seed: int, number: int, *, final: bool = False) -> int:
    """The seed of trial ``number``: independent for every (seed, number, kind of run)."""
    return int(np.random.SeedSequence([seed, number, int(final)]).generate_state(1)[0] >> 1)


def final_budget(job: Job) -> dict[str, Any]:
    """The budget of the final run: the sweep's, with the keys of ``final.budget`` replaced."""
    budget = dict(job.budget)
    if {"tasks", "updates"} & set(job.final.budget):
        budget = {key: value for key, value in budget.items() if key not in ("tasks", "updates")}
    return budget | job.final.budget


def single_configuration(job: Job) -> Job:
    """The job without its space: its first enqueued point, or its fixed values alone.

    Raises:
        RequestError: It has a space and no enqueued point.
    """
    if job.space is None:
        return job
    if not job.enqueue:
        raise RequestError("this job has a space and no enqueued point: train needs one configuration, "
                           "so add one under enqueue, or use sweep")  # fmt: skip
    suggested = suggest(job, FixedTrial(job.enqueue[0]))
    alone: dict[str, object] = {"space": None, "enqueue": [], "fixed": suggested}
    return job.model_copy(update=alone | {"pruner": Pruner(), "sampler": Sampler()})
