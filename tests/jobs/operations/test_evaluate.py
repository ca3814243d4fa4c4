"""A trained model on tasks of one's own choice."""

from dataclasses import replace

import numpy as np
import pytest

from jobs.operations.evaluate import Tasks, evaluate
from jobs.store.home import Home
from oplstm.episodes.split import Split
from oplstm.errors import RequestError, WorkError
from oplstm.training.checkpoint import load_model, save_weights
from oplstm.training.device import Device
from oplstm.training.model import Model
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from tests.oplstm.training.damage import flip
from tests.oplstm.training.runs import run

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


@pytest.mark.parametrize(("learner", "its"), [("lstm", "passes"), ("maml", "eval_passes")])
def test_it_makes_as_many_passes_as_are_asked_for(learner, its, small_sweep):
    config, folder = run(learner, **{"passes": 2, its: 2}), small_sweep.trial("trial-0001")
    pack = Pack([config], ["one"], Device())
    weights = pack.layout.of_row(pack.state.weights[0])
    save_weights(folder, config, params=weights, best_update=1)
    own, more = (evaluate(Home(), NAME, Tasks(count=30), passes=passes, uri=None) for passes in (None, 3))
    assert (own.passes, more.passes) == (2, 3)
    three = replace(config, hyperparameters=replace(config.hyperparameters, **{its: 3}))
    values = Model(three, weights, Device()).scores(Split.FINAL_TEST, seed=0, count=30)["loss"].numpy()
    assert more.score.mean == pytest.approx(float(np.mean(values)), rel=1e-12)
    assert more.score.mean != pytest.approx(own.score.mean, rel=1e-6)


def test_passes_of_a_learner_without_them_are_said_in_a_line(small_sweep):
    images = {"name": "omniglot", "ways": 2, "shots": 1, "queries": 2}
    data = run().to_dict() | {"learner": "protonet", "hyperparameters": {}, "benchmark": images}
    save_weights(small_sweep.trial("trial-0001"), RunConfig.from_dict(data), params={}, best_update=1)
    with pytest.raises(RequestError, match="is of protonet, which has no passes to choose: leave --passes out"):
        evaluate(Home(), NAME, Tasks(), passes=3, uri=None)


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
