"""Which jobs train a configuration of the paper as the authors' code ran it."""

import functools
from typing import Any

from jobs.jobfile.schema import Job
from jobs.jobfile.shipped import shipped_jobs
from jobs.jobfile.yaml_text import read_yaml
from oplstm.configuration import Problems

_PREFIX = "published-"


def published_as(job: Job) -> str | None:
    """The shipped ``published-*`` job whose one configuration this is, with any shots, budget and seeds; else None."""
    if job.space is not None or job.enqueue:
        return None
    this = _what_is_trained(job)
    return next((name for name, of in _published().items() if of == this), None)


@functools.cache
def _published() -> dict[str, dict[str, Any]]:
    texts = {name: text for name, text in shipped_jobs().items() if name.startswith(_PREFIX)}
    return {
        name: _what_is_trained(Job.model_validate(read_yaml(text, Problems()).value)) for name, text in texts.items()
    }


def _what_is_trained(job: Job) -> dict[str, Any]:
    """The configuration, and the benchmark but for its shots: the authors kept one configuration for all of them."""
    benchmark = {name: value for name, value in job.benchmark.items() if name != "shots"}
    return {"learner": job.learner, "fixed": job.fixed, "benchmark": benchmark}
