"""`--set key=value` and `--trials`."""

import pytest

from jobs.jobfile.reading import parse_job
from tests.jobs.jobfile.job_texts import JOB, the_problem


def test_set_takes_short_and_dotted_keys():
    job = parse_job(
        JOB,
        "job.yaml",
        ["shots=10", "lr=.001", "widths=[5, 5]", "convention=paper", "cpus=3", "resources.gpus=0.25", "trials=4",
         "pruner.name=MedianPruner", "final.budget.tasks=70", "final.budget.validate_every=7", "seed = 5"],
    )  # fmt: skip
    assert job.benchmark == {"name": "sine", "shots": 10}
    assert job.fixed == {"lr": 0.001, "widths": [5, 5], "convention": "paper"}
    assert (job.resources.cpus, job.resources.gpus, job.trials, job.seed) == (3, 0.25, 4, 5)
    assert job.pruner.name == "MedianPruner"
    assert job.final.budget == {"tasks": 70, "validate_every": 7}


def test_set_of_a_budget_in_the_other_unit_replaces_it():
    job = parse_job(JOB, "job.yaml", ["updates=50", "validate_every=10"])
    assert job.budget == {"updates": 50, "validate_every": 10}
    assert parse_job(JOB, "job.yaml", ["budget.tasks=2000"]).budget == {"tasks": 2000, "validate_every": 500}


def test_the_last_of_several_settings_wins_and_trials_of_the_command_line_win_over_the_file():
    assert parse_job(JOB, "job.yaml", ["shots=10", "shots=20"]).benchmark["shots"] == 20
    assert parse_job(JOB + "trials: 3\n", "job.yaml", trials=9).trials == 9
    assert parse_job(JOB + "trials: 3\n", "job.yaml", trials=None).trials == 3


def test_keys_are_those_of_the_learner_and_benchmark_that_are_set_wherever_these_stand():
    settings = ["inner_lr=.1", "lr=.01", "meta_batch_size=4", "space=null", "rotations=true", "queries=3", "ways=5"]
    job = parse_job(JOB, "job.yaml", [*settings, "learner=maml", "benchmark.name=omniglot"])
    assert (job.fixed["inner_lr"], job.benchmark["rotations"], job.benchmark["ways"]) == (0.1, True, 5)


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("shots=0", "benchmark.shots: must be >= 1, got 0 (--set shots=0)"),
        ("precision=half", "fixed.precision: must be one of float32, tf32, bf16, got 'half' (--set precision=half)"),
        ("passes=0", "fixed.passes: must be >= 1, got 0 (--set passes=0)"),
        ("cells=[5,1]", "--set: unknown 'cells'; known: "),
        ("lrr=1", "--set: unknown 'lrr'; did you mean 'lr'? (command line)"),
        (
            "plugins=[mine.py]",
            "--set: plug-ins are named with --plugin mine.py, got 'plugins=[mine.py]' (command line)",
        ),
        (
            "plugins.0=mine.py",
            "--set: plug-ins are named with --plugin mine.py, got 'plugins.0=mine.py' (command line)",
        ),
        ("lr", "--set: must be key=value, with a value in YAML, got 'lr' (command line)"),
        ("lr=[1", "--set: must be key=value, with a value in YAML, got 'lr=[1': while parsing a flow sequence"),
        ("lr=", "fixed.lr: must be a finite number, got None (--set lr=)"),
        ("fixed.hidden=3", "fixed.hidden: unknown 'hidden'; known: "),
        ("nowhere.at.all=1", "nowhere: unknown 'nowhere'; known: "),
        ("budget.taks=1", "budget.taks: unknown 'taks'; did you mean 'tasks'? (--set budget.taks=1)"),
        ("enqueue.0.lr=3", "enqueue: must be a valid list, got {'0': {'lr': 3}} (--set enqueue.0.lr=3)"),
    ],
)
def test_a_wrong_setting_is_named_by_its_text(override, wanted):
    found = the_problem(JOB, override)
    assert found.startswith(wanted)
    assert found.endswith((f"(--set {override})", "(command line)"))


def test_settings_of_a_malformed_section_do_not_crash():
    assert the_problem(JOB.replace("name: sine", "name: [sine]"), "shots=3").startswith("benchmark.name: ")
    assert the_problem(JOB.replace("learner: lstm", "learner: lsmt"), "cells=[1]").startswith("learner: unknown 'lsmt'")
    assert the_problem(JOB.replace("{name: sine, shots: 5}", "sine"), "benchmark.shots=3") == (
        "benchmark.name: unknown 'None'; known: cub, images, miniimagenet, omniglot, sine (job.yaml, line 2)"
    )
