"""`oplstm compare`: what differs, paired where both met the same tasks, test scores last."""

import json
import math
import shutil

import numpy as np
import pytest
from scipy import stats

from jobs.operations.compare import compare
from jobs.store.header import Header
from jobs.store.home import Home
from oplstm.training.checkpoint import load_test_scores, load_validation_values
from tests.jobs.cli.verbs import answer, run, the_complaint
from tests.jobs.formula_training import finish, job, new_sweep, state_of
from tests.jobs.headers import rewrite

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def other_seed(small_sweep):
    """The same sweep under another name, whose trials say that they met tasks of another seed."""
    there = small_sweep.path.with_name("other")
    shutil.copytree(small_sweep.path, there)
    data = json.loads((there / "sweep.json").read_text())
    data |= {"name": "other", "id": "id-of-other", "place": None}
    data["job"]["seed"], data["job"]["budget"]["validate_every"] = 1, 2
    folder = Home().sweep_folder("other")
    rewrite(folder, data)
    return folder


def test_trials_of_a_sweep_are_compared_task_by_task(small_sweep):
    found = compare(Home(), "small/trial-0000", "small/trial-0002")
    ours, theirs = (
        load_validation_values(small_sweep.trial(f"trial-000{number}")).double().numpy() for number in (0, 2)
    )
    assert found.validation.paired
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    shown = found.validation.difference
    np.testing.assert_allclose([shown.mean - shown.half_width, shown.mean + shown.half_width], [low, high])
    tested = [load_test_scores(small_sweep.trial(f"trial-000{number}"))["loss"].double() for number in (0, 2)]
    assert math.isclose(found.test.difference.mean, float((tested[0] - tested[1]).mean()), rel_tol=1e-9)
    trials = state_of(small_sweep).trials
    assert {one.key: one.values for one in found.searched} == {
        key: (trials[0].params.get(key), trials[2].params.get(key))
        for key in ("hidden", "lr")
        if trials[0].params.get(key) != trials[2].params.get(key)
    }
    assert (found.job, found.tuning) == ((), None)


def test_who_is_better_is_said_only_where_the_interval_says_so(small_sweep):
    found = compare(Home(), "small/trial-0000", "small/trial-0001").validation
    apart = abs(found.difference.mean) > found.difference.half_width
    assert found.better == ((0 if found.difference.mean < 0 else 1) if apart else None)
    back = compare(Home(), "small/trial-0001", "small/trial-0000").validation
    assert back.difference.mean == -found.difference.mean
    assert back.better == (None if found.better is None else 1 - found.better)


def test_other_tasks_are_compared_unpaired(small_sweep, other_seed, monkeypatch):
    """Of another seed: the journal of the other is read as if its runs had been evaluated with it."""
    told = Header.read(other_seed).id
    of = type(state_of(small_sweep)).of.__func__

    def with_another_seed(cls, folder, header):
        state = of(cls, folder, header)
        for trial in state.trials.values() if header.id == told else ():
            trial.run["evaluation_seed"] += 1
        return state

    monkeypatch.setattr("jobs.operations.compare.SweepState.of", classmethod(with_another_seed))
    found = compare(Home(), "small", "other")
    assert {one.key: one.values for one in found.job} == {"seed": (0, 1), "budget.validate_every": (3, 2)}
    assert not found.validation.paired
    half = math.hypot(*(score.half_width for score in found.validation.scores))
    assert math.isclose(found.validation.difference.half_width, half)
    assert "unpaired: they met different tasks" in run("compare", "small", "other").stdout


@pytest.mark.parametrize("same_tasks", [True, False])
def test_a_task_that_all_seeds_of_a_training_met_counts_once(small_sweep, other_seed, monkeypatch, same_tasks):
    """The other's header says that they are seeds of a training, its journal maybe that each met its own tasks."""
    rewrite(other_seed, json.loads((other_seed.path / "sweep.json").read_text()) | {"kind": "train"})
    told, of = Header.read(other_seed).id, type(state_of(small_sweep)).of.__func__

    def with_tasks(cls, folder, header):
        state = of(cls, folder, header)
        for trial in state.trials.values() if header.id == told and not same_tasks else ():
            trial.run["evaluation_seed"] += trial.number
        return state

    monkeypatch.setattr("jobs.operations.compare.SweepState.of", classmethod(with_tasks))
    found = compare(Home(), "small", "other")
    best, seeds = (
        [load_validation_values(small_sweep.trial(name)).double().numpy() for name in of] for of in found.trials
    )
    assert len(seeds) > 1
    by_task = np.mean(seeds, axis=0) if same_tasks else np.concatenate(seeds)
    assert found.validation.tasks == (len(best[0]), len(by_task))
    assert math.isclose(found.validation.scores[1].half_width, stats.norm.ppf(0.975) * stats.sem(by_task))
    assert found.validation.paired == same_tasks
    if same_tasks:
        low, high = stats.ttest_rel(best[0], by_task).confidence_interval(0.95)
        assert math.isclose(found.validation.difference.half_width, (high - low) / 2)


def test_sweeps_are_compared_by_their_best_and_by_tuning_with_the_test_last(small_sweep, other_seed):
    words = run("compare", "small", "other").stdout
    parts = ["job\n", "  seed", "meta-validation loss\n", "paired: both met the same tasks", "tuning: small and other"]
    parts += ["picked by this very score", "test loss, which picks nothing\n"]
    assert [words.index(part) for part in parts] == sorted(words.index(part) for part in parts)
    told = answer("compare", "small", "other")
    assert told["trials"] == [[answer("status", "small")["leader"]]] * 2
    assert (told["validation"]["paired"], told["validation"]["difference"]["mean"]) == (True, 0.0)
    assert told["validation"]["better"] is None
    assert "they cannot be told apart" in words


def test_what_has_no_scores_is_compared_by_its_job_and_tuning(oplstm_home):
    for name, width in (("a", 2), ("b", 3)):
        finish(new_sweep(oplstm_home / "sweeps" / name, job("rates", trials=6, fixed={"widths": [width]})))
    found = compare(Home(), "a", "b")
    assert [(one.key, one.values) for one in found.job] == [("fixed.widths", ([2], [3]))]
    assert (found.validation, found.test) == (None, None)
    assert found.tuning == "a and b cannot be told apart at equal effort, up to 6 trials: their bands overlap"
    assert "meta-validation loss: not both have one" in run("compare", "a", "b").stdout


def test_what_cannot_be_compared_is_one_line(small_sweep, oplstm_home):
    assert the_complaint("compare", "small", "small/trial-0000") == (
        "small/trial-0000 is a trial and small is none: give two of a kind"
    )
    assert the_complaint("compare", "small", "small") == "small is given twice; give two"
    assert the_complaint("compare", "small/trial-0000", "small/trial-0009").startswith("sweep small has no trial")
    new_sweep(oplstm_home / "sweeps" / "begun", job("rates"))
    words = run("compare", "small", "begun").stdout
    assert "note: begun: no trial has completed, so it has no score" in words
    assert "tuning: no tuning curves: begun has no trial that has ended with a score" in words
