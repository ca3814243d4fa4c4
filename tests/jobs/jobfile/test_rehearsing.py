"""Options that a sampler or a pruner finds wrong only at work: found before a job starts."""

import sys

import optuna
import pytest

from jobs.jobfile.reading import parse_job
from oplstm.errors import RequestError

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

JOB = """\
learner: lstm
benchmark: {name: sine}
space: sine-lstm
budget: {tasks: 1000, validate_every: 500}
"""


def problems(line):
    with pytest.raises(RequestError) as caught:
        parse_job(f"{JOB}{line}\n", "job.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("{multivariat: true}", "TPESampler does not take these options: unknown 'multivariat'; did you mean 'multi"),
        ("{n_startup_trials: x}", "TPESampler cannot propose from sine-lstm: TypeError: "),
        ("{gamma: 3}", "TPESampler cannot propose from sine-lstm: TypeError: 'int' object is not callable"),
        ("{weights: [1]}", "TPESampler cannot propose from sine-lstm: TypeError: "),
        ("{n_ei_candidates: -1}", "TPESampler cannot propose from sine-lstm: ValueError: "),
    ],
)
def test_what_a_sampler_finds_out_when_it_learns_is_said(options, wanted):
    [problem] = problems(f"sampler: {{name: TPESampler, options: {options}}}")
    assert problem.startswith(f"sampler: {wanted}")
    assert problem.endswith("(job.yaml, line 5)")


@pytest.mark.parametrize("startup", [30, 100])
def test_a_sampler_that_learns_late_is_rehearsed_with_as_many_results(startup):
    late = f"sampler: {{name: TPESampler, options: {{n_startup_trials: {startup}, gamma: 0.25}}}}"
    [problem] = problems(f"trials: {startup + 2}\n{late}")
    assert problem.startswith("sampler: TPESampler cannot propose from sine-lstm: TypeError: 'float' object is not")
    assert parse_job(f"{JOB}trials: {startup}\n{late}\n", "job.yaml")  # it never learns


@pytest.mark.parametrize(
    ("pruner", "wanted"),
    [
        ("{name: MedianPruner, options: {n_warmup_steps: x}}", "MedianPruner"),
        ("{name: MedianPruner, options: {n_startup_trials: '1'}}", "MedianPruner"),
        ("{name: HyperbandPruner, options: {max_resource: 9, reduction_factor: 1}}", "HyperbandPruner"),
        ("{name: ThresholdPruner, options: {upper: [1]}}", "ThresholdPruner"),
        ("{name: SuccessiveHalvingPruner, options: {reduction_factor: 2.5}}", None),
        ("{name: PercentilePruner, options: {percentile: 25.0}}", None),
        ("{name: WilcoxonPruner}", None),
    ],
)
def test_what_a_pruner_finds_out_when_it_judges_is_said(pruner, wanted):
    if wanted is None:
        assert parse_job(f"{JOB}pruner: {pruner}\n", "job.yaml")
        return
    [problem] = problems(f"pruner: {pruner}")
    assert problem.startswith((f"pruner: {wanted} cannot judge a run: ", f"pruner: {wanted} does not take these"))
    assert problem.endswith("(job.yaml, line 5)")


@pytest.mark.parametrize(
    "sampler",
    ["TPESampler", "NSGAIISampler", "NSGAIIISampler", "CmaEsSampler", "QMCSampler", "RandomSampler"],
)
def test_samplers_of_optuna_pass(sampler):
    assert parse_job(f"{JOB}sampler: {{name: {sampler}}}\n", "job.yaml")


def test_a_sampler_whose_package_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmaes", None)
    monkeypatch.setattr("optuna.samplers._cmaes.cmaes", optuna._imports._LazyImport("cmaes"))
    [problem] = problems("sampler: {name: CmaEsSampler}")
    assert problem.startswith("sampler: CmaEsSampler cannot propose from sine-lstm: ")
    assert "cmaes" in problem
