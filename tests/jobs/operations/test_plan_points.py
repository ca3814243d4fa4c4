"""A plan of a space whose points are not all runs, and what else it says of a job."""

from pathlib import Path

import pytest

from jobs.cli.display.plan import plan_lines
from jobs.jobfile.reading import parse_job
from jobs.operations.plan import make_plan
from oplstm.errors import RequestError

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

BUDGET = "{tasks: 4, validate_every: 2, validation_tasks: 2, test_tasks: 2}"
ODD = "tests.jobs.jobfile.odd_spaces"
JOB = f"learner: lstm\nbenchmark: {{name: sine, queries: 2}}\nspace: {ODD}:SPACE\nbudget: {BUDGET}\n"


def plan(space, more="sampler: {name: grid}\n", **options):
    return make_plan(parse_job(JOB.replace("SPACE", space) + more, "job.yaml"), Path(), **options)


@pytest.mark.parametrize("sampler", ["grid", "RandomSampler"])
def test_infeasible_points_are_counted_and_the_first_says_why(sampler):
    made = plan("infeasible", f"sampler: {{name: {sampler}}}\ntrials: 100\n")
    assert (made.trials, made.signatures, made.packs, made.impossible) == (6, 1, 4, 2)
    assert plan_lines(made)[-1] == (
        "impossible  2 of the trials; the first pruned before it began: TrialPruned: too wide for its height"
    )
    assert made.to_json()["impossible"] == 2


@pytest.mark.slow
def test_points_at_which_the_space_raises_are_counted_too():
    made = plan("wordless")
    assert (made.trials, made.packs, made.impossible) == (200, 199, 1)
    assert plan_lines(made)[-1] == (
        f"impossible  1 of the trials; the first failed: {ODD}:wordless at this point: ValueError"
    )


@pytest.mark.slow
def test_points_that_are_too_large_are_counted_too():
    made = plan("rarely_huge")
    assert (made.trials, made.impossible) == (200, 1)
    assert "the run would have 40,001,700,001 parameters" in made.why_impossible


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["grid", "RandomSampler", "TPESampler"])
def test_a_space_that_uses_all_of_a_trial_is_planned(sampler):
    made = plan("whole_trial", f"sampler: {{name: {sampler}}}\ntrials: 100\n")
    assert (made.trials, made.impossible) == (12, 0)


def test_a_space_without_any_run_is_an_error():
    with pytest.raises(RequestError) as caught:
        plan("never_feasible")
    assert str(caught.value) == (
        f"{ODD}:never_feasible gives no run at any of 3 points; the last pruned before it began: TrialPruned"
    )


def test_what_is_searched_in_vain_is_a_note():
    [note] = plan("infeasible", "fixed: {widths: [2], passes: 1}\n").notes
    assert note.startswith(f"fixed.widths wins over what the space {ODD}:infeasible makes of its dimensions; ")


def test_notes_are_lines_of_their_own():
    made = plan("infeasible", notes=["one", "two"])
    assert plan_lines(made)[-2:] == ["note        one", "note        two"]
    assert made.to_json()["notes"] == ("one", "two")
