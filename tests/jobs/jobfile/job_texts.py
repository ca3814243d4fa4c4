"""Texts of job files, good and bad, and what is said about them."""

import pytest

from jobs.jobfile.reading import parse_job
from jobs.sweep.proposals import Proposals
from oplstm.errors import RequestError

JOB = """\
learner: lstm
benchmark: {name: sine, shots: 5}
space: sine-lstm
budget:
  tasks: 1000
  validate_every: 500
"""
POINT = "{hidden: 40, layers: 2, passes: 4, meta_batch_size: 4, lr: 0.004674, pool_cell: true, loss_on: last}"


def problems(text, *overrides, **top_level):
    with pytest.raises(RequestError) as caught:
        parse_job(text, "job.yaml", overrides, **top_level)
    return list(caught.value.problems)


def the_problem(text, *overrides, **top_level):
    [problem] = problems(text, *overrides, **top_level)
    return problem


def own_space(name, more=""):
    return JOB.replace("sine-lstm", f"tests.jobs.user_spaces:{name}") + more


def ask_some(job, count):
    proposals = Proposals(job)
    return [proposal for proposal in (proposals.ask() for _ in range(count)) if proposal is not None]
