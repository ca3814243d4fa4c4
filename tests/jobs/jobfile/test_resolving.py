"""From a job to its runs: fixed values, and the one configuration of a job without a space."""

import pytest

from jobs.jobfile.reading import parse_job
from jobs.jobfile.resolving import single_configuration
from oplstm.errors import RequestError
from tests.jobs.jobfile.job_texts import JOB, POINT, ask_some, own_space, problems, the_problem


def test_fixed_values_win_over_the_space():
    job = parse_job(JOB + "fixed: {passes: 2, lr: 0.5}\n", "job.yaml")
    runs = [proposal.run for proposal in ask_some(job, 5)]
    assert {(run.hyperparameters.passes, run.lr) for run in runs} == {(2, 0.5)}
    assert len({run.hyperparameters.widths for run in runs}) > 1


def test_without_a_space_a_job_is_its_one_configuration():
    text = JOB.replace("space: sine-lstm\n", "fixed: {lr: 0.01, meta_batch_size: 4}\nseeds: 2\n")
    job = parse_job(text, "job.yaml")
    assert job.trial_limit == 2
    assert single_configuration(job) is job
    assert the_problem(text + "enqueue: [{lr: 1}]\n") == "enqueue: needs a space (job.yaml, line 8)"
    assert sorted(problems(text.replace("fixed: {lr: 0.01, meta_batch_size: 4}\n", ""))) == [
        "fixed.lr: is required (job.yaml)",
        "fixed.meta_batch_size: is required (job.yaml)",
    ]


def test_an_enqueued_point_is_tried_as_the_space_takes_it():
    text = own_space("kinds", "enqueue: [{hidden: 20.0, lr: '0.001', pool_cell: 1}]\ntrials: 1\n")
    job = parse_job(text, "job.yaml")
    point = {"hidden": 20, "pool_cell": True, "lr": 0.001}
    [trial] = ask_some(job, 2)
    for found in (job.enqueue[0], trial.params):
        assert (found, list(map(type, found.values()))) == (point, [int, bool, float])
    assert (trial.run.lr, single_configuration(job).fixed["lr"]) == (0.0005, 0.0005)


def test_the_single_configuration_of_a_sweep_is_its_first_enqueued_point():
    job = parse_job(JOB + f"enqueue: [{POINT}]\nfixed: {{passes: 7}}\nsampler: {{name: TPESampler}}\n", "job.yaml")
    single = single_configuration(job)
    assert (single.space, single.enqueue, single.trial_limit) == (None, [], 1)
    run = ask_some(single, 9)[0].run
    assert (run.lr, run.hyperparameters.widths, run.hyperparameters.passes) == (0.004674, (40, 40), 7)
    with pytest.raises(RequestError, match="no enqueued point"):
        single_configuration(parse_job(JOB, "job.yaml"))
