"""What a job fixes that its space makes of dimensions of other names, which may then be searched in vain."""

import contextlib

import optuna

from jobs.jobfile.resolving import pins
from jobs.jobfile.schema import Job
from search_spaces.pinned import pinned
from search_spaces.spaces import find_space

_POINTS = 16
"""That are drawn to see whether a value varies."""


def overruled(job: Job) -> list[str]:
    """A line for every key under ``fixed`` that varies with the dimensions of the job's space and is none of them."""
    return [
        f"fixed.{key} wins over what the space {job.space} makes of its dimensions; those that decide nothing else are "
        "searched in vain: pin those instead"
        for key in job.fixed
        if job.space is not None and _is_made(job, key)
    ]


def _is_made(job: Job, key: str) -> bool:
    others = {name: value for name, value in pins(job).items() if name != key}
    space = pinned(find_space(str(job.space)), others)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    made = set()
    for trial in (study.ask() for _ in range(_POINTS)):
        with contextlib.suppress(Exception):  # of a space at a point that is not feasible
            made.add(repr(space(trial).get(key)))
        if key in trial.params:
            return False
    return len(made) > 1
