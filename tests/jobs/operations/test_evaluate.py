"""A trained model on tasks of one's own choice."""

import numpy as np
import pytest

from jobs.operations.evaluate import Tasks, evaluate
from jobs.store.home import Home
from oplstm.episodes.split import Split
from oplstm.errors import RequestError, WorkError
from oplstm.training.checkpoint import load_model
from tests.oplstm.training.damage import flip

NAME = "small/trial-0001"


def test_a_trial_is_scored_on_the_tasks_that_are_asked_for(small_sweep):
    found = evaluate(Home(), NAME, Tasks(shots=7, queries=9, count=40, seed=3), uri=None)
    assert (found.measure, found.tasks) == ("loss", 40)
    assert {name: found.benchmark[name] for name in ("name", "shots", "queries")} == {
        "name": "sine", "shots": 7, "queries": 9,
    }  # fmt: skip
    assert found.score.half_width > 0
    assert evaluate(Home(), NAME, Tasks(shots=7, queries=9, count=40, seed=3), uri=None) == found
    assert evaluate(Home(), NAME, Tasks(shots=7, queries=9, count=40, seed=4), uri=None).score != found.score


def test_without_a_choice_the_tasks_are_those_of_its_training(small_sweep):
    found = evaluate(Home(), NAME, Tasks(count=30), uri=None)
    values = load_model(small_sweep.trial("trial-0001")).scores(Split.FINAL_TEST, seed=0, count=30)["loss"].numpy()
    assert found.score.mean == pytest.approx(float(np.mean(values)), rel=1e-12)


@pytest.mark.parametrize(
    ("model", "tasks", "problem"),
    [
        ("nowhere/trial-0000", Tasks(), "no sweep named 'nowhere'"),
        ("small/trial-0009", Tasks(), "sweep small has no trained trial 'trial-0009'; oplstm status small"),
        ("small/../small/trial-0000", Tasks(), "sweep small has no trained trial"),
        (NAME, Tasks(dataset="mnist"), "small/trial-0001 cannot be evaluated on these tasks: benchmark.name"),
        (NAME, Tasks(ways=3), "cannot be evaluated on these tasks: benchmark.ways"),
        (NAME, Tasks(dataset="omniglot", shots=1, queries=1), "omniglot"),
    ],
)
def test_what_cannot_be_scored_is_said_in_a_line(model, tasks, problem, small_sweep):
    with pytest.raises(RequestError) as caught:
        evaluate(Home(), model, tasks, uri=None)
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_model_is_named(small_sweep):
    flip(small_sweep.trial("trial-0001") / "model.safetensors", -1, 0)
    with pytest.raises(WorkError, match=r"model\.safetensors is damaged"):
        evaluate(Home(), NAME, Tasks(), uri=None)
