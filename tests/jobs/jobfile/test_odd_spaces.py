"""Spaces that use all of Optuna's trial, points that are not feasible, exceptions that say nothing."""

import pytest

from jobs.jobfile import probing
from jobs.jobfile.reading import parse_job
from jobs.store.states import TrialState
from jobs.sweep.proposals import Impossible, Proposals
from oplstm.errors import RequestError

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

BUDGET = "{tasks: 40, validate_every: 10}"
JOB = f"learner: lstm\nbenchmark: {{name: sine}}\nspace: tests.jobs.jobfile.odd_spaces:SPACE\nbudget: {BUDGET}\n"
GRID = "sampler: {name: grid}\n"


def job(space, more=""):
    return parse_job(JOB.replace("SPACE", space) + more, "job.yaml")


def the_problem(space, more=""):
    with pytest.raises(RequestError) as caught:
        job(space, more)
    [problem] = caught.value.problems
    return problem.replace("tests.jobs.jobfile.odd_spaces:", "")


def ask_all(of):
    proposals = Proposals(of)
    return list(iter(proposals.ask, None))


@pytest.mark.parametrize("sampler", ["grid", "RandomSampler", "TPESampler", "QMCSampler"])
def test_a_space_may_use_all_of_a_trial_whoever_proposes(sampler):
    """A grid walks it; a random search of more trials than it has points looks for what is left of it."""
    found = ask_all(job("whole_trial", f"sampler: {{name: {sampler}}}\ntrials: 50\n"))
    assert len({(run.run.hyperparameters.widths, run.run.lr) for run in found}) == len(found) == 12


def test_an_enqueued_point_of_such_a_space_is_no_problem():
    """Optuna warns of its older words, which is nothing that is wrong with a point."""
    of = job("whole_trial", "enqueue: [{width: 2, rate: 0.2, one: 0.5, other: 0.5}]\n")
    assert ask_all(of)[0].params == {"width": 2, "rate": 0.2, "one": 0.5, "other": 0.5}


@pytest.mark.parametrize("sampler", ["grid", "RandomSampler", "TPESampler"])
def test_infeasible_points_do_not_keep_a_job_from_starting(sampler):
    found = ask_all(job("infeasible", f"sampler: {{name: {sampler}}}\ntrials: 50\n"))
    assert len(found) == 6
    refused = [point for point in found if isinstance(point, Impossible)]
    assert {point.state for point in refused} == {TrialState.PRUNED}
    assert {point.reason for point in refused} == {"pruned before it began: TrialPruned: too wide for its height"}


def test_an_enqueued_point_that_is_not_feasible_is_said_at_its_place():
    points = "enqueue:\n  - {width: 1, rate: 0.1}\n  - {width: 2, rate: 0.1}\n"
    assert the_problem("infeasible", points) == (
        "enqueue.1: infeasible says that this point is infeasible: TrialPruned: too wide for its height "
        "(job.yaml, line 7)"
    )
    assert "never_feasible says that this point is infeasible: TrialPruned (" in the_problem(
        "never_feasible", "enqueue: [{width: 1}]\n"
    )


def test_an_enqueued_point_at_which_the_space_raises_is_said_at_its_place():
    assert the_problem("wordless", "enqueue: [{cell: 1}, {cell: 100}]\n") == (
        "enqueue.1: wordless raises ValueError at this point (job.yaml, line 5)"
    )


@pytest.mark.slow
def test_an_exception_without_words_is_reported_by_its_type():
    of = job("wordless", GRID + "trials: 200\n")
    [refused] = [point for point in ask_all(of) if isinstance(point, Impossible)]
    assert refused.reason == "failed: tests.jobs.jobfile.odd_spaces:wordless at this point: ValueError"
    assert the_problem("escapes").startswith("space: escapes raises ValueError: \x1b[31mred\x1b[0m; for an infeasible")


@pytest.mark.slow
def test_a_point_that_is_too_large_costs_one_trial():
    found = ask_all(job("rarely_huge", GRID))
    [refused] = [point for point in found if isinstance(point, Impossible)]
    assert (len(found), refused.params, refused.state) == (200, {"cell": 100}, TrialState.FAILED)
    assert "widths: the run would have 40,001,700,001 parameters, and may have 200,000,000" in refused.reason


def test_a_grid_that_is_continuous_somewhere_among_its_trials_is_refused():
    wanted = "sampler.name: grid cannot enumerate rarely_continuous: rate is continuous: a grid needs choices or a step"
    for more in ("", "trials: 101\n", "trials: 100000\n"):
        assert the_problem("rarely_continuous", GRID + more).startswith(wanted)
    assert len(ask_all(job("rarely_continuous", f"{GRID}trials: 100\n"))) == 100


@pytest.mark.slow
def test_a_large_grid_is_walked_as_far_as_its_trials_go(monkeypatch):
    cells, walk = [], probing.enumerate_grid

    def counted(space):
        for cell in walk(space):
            cells.append(cell)
            yield cell

    monkeypatch.setattr(probing, "enumerate_grid", counted)
    of = job("large_grid", f"{GRID}trials: 5\n")
    assert [point.params for point in ask_all(of)] == [{"a": 0, "b": b} for b in range(5)]
    assert len(cells) == 5
    cells.clear()
    assert the_problem("large_grid", GRID) == (
        "trials: is required: the grid of large_grid has more than 20,000 cells (job.yaml)"
    )
    assert len(cells) == 20_001


def test_a_benchmarks_key_is_placed_where_it_is_given():
    text = JOB.replace("tests.jobs.jobfile.odd_spaces:SPACE", "sine-shots")
    with pytest.raises(RequestError, match=r"^fixed.shots: must be >= 1, got 0 \(job.yaml, line 5\)$"):
        parse_job(text + "fixed: {shots: 0, lr: 0.1, meta_batch_size: 1}\n", "job.yaml")
    protonet = "learner: protonet\nbenchmark: {name: sine}\nfixed: {lr: 0.1, meta_batch_size: 1}\nbudget: " + BUDGET
    with pytest.raises(RequestError, match=r"^learner: prototypes are of classes, and sine has none \(job.yaml, l"):
        parse_job(protonet, "job.yaml")
