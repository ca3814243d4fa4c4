"""Pinned dimensions: what a space derives from them, and what is left of it to search."""

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

from search_spaces.enumeration import enumerate_grid
from search_spaces.pinned import pinned
from search_spaces.spaces import SPACES

IMAGES = {"meta_batch_size": 4, "passes": 1}


def drawn(space, seed):
    trial = optuna.create_study(sampler=RandomSampler(seed=seed)).ask()
    return space(trial), trial.params


def pinnable(space, seed):
    """The dimensions that go by the name of a hyperparameter, each with a value and what it means."""
    suggested, params = drawn(space, seed)
    return [(name, params[name], suggested[name]) for name in params if name in suggested]


@pytest.mark.parametrize("name", list(SPACES))
def test_a_pinned_space_is_the_space_at_that_value(name):
    space = SPACES[name]
    for dimension, value, hyperparameter in pinnable(space, seed=1):
        for seed in range(5):
            suggested, params = drawn(pinned(space, {dimension: hyperparameter}), seed)
            assert dimension not in params
            assert suggested == space(FixedTrial({**params, dimension: value}))


def test_every_image_and_sine_space_can_be_pinned():
    assert sum(len(pinnable(SPACES[name], seed=1)) for name in SPACES) > 40


def test_a_rate_that_is_tied_to_the_meta_batch_size_is_that_of_a_pinned_size():
    space = pinned(SPACES["omniglot-op-lstm"], {"meta_batch_size": 64})  # which is none of its choices
    found = [space(FixedTrial(cell)) for cell in enumerate_grid(space)]
    assert {(one["lr"], one["meta_batch_size"]) for one in found} == {(0.001 / 64, 64)}


def test_what_is_pinned_is_no_dimension_of_a_grid():
    cells = list(enumerate_grid(pinned(SPACES["omniglot-op-lstm"], IMAGES)))
    assert cells == [{"cells": cells} for cells in ("5-5-1", "20-1", "10-10-1", "40-1", "40-20-1", "20-20-20-1")]
    space = pinned(SPACES["omniglot-op-lstm"], {**IMAGES, "cells": [7, 1]})
    assert [space(FixedTrial(cell)) for cell in enumerate_grid(space)] == [{**IMAGES, "cells": [7, 1], "lr": 0.00025}]


def every_kind(trial):
    """As many kinds of questions as a trial answers."""
    return {
        "whole": trial.suggest_int("whole", 1, 9),
        "real": trial.suggest_float("real", 0, 1),
        "flag": trial.suggest_categorical("flag", [True, False]),
        "text": trial.suggest_categorical("text", ["a", "b"]),
        "scale": trial.suggest_categorical("scale", [0.1, 1.0]),
        "clip": trial.suggest_categorical("clip", [10.0, None]),
        "sizes": trial.suggest_categorical("sizes", ["20", "20-20"]),
        "texts": trial.suggest_categorical("texts", ["10", "20,20"]),
        "old": trial.suggest_uniform("old", 0, 1),
        "older": trial.suggest_loguniform("older", 0.1, 1),
        "oldest": trial.suggest_discrete_uniform("oldest", 0, 1, 0.5),
    }


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("whole", 12, 12),
        ("whole", 3.0, 3),
        ("real", 2, 2.0),
        ("real", 0.25, 0.25),
        ("flag", False, False),
        ("text", "c", "c"),
        ("clip", None, None),
        ("clip", 3, 3.0),
        ("scale", 1, 1.0),
        ("sizes", [1, 2], "1-2"),
        ("sizes", "7", "7"),
        ("old", 0.5, 0.5),
        ("older", 1, 1.0),
        ("oldest", 0.5, 0.5),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_value_is_taken_as_the_space_expects_it(name, value, taken):
    suggested, params = drawn(pinned(every_kind, {name: value}), 0)
    assert (suggested[name], type(suggested[name])) == (taken, type(taken))
    assert params == {key: of for key, of in suggested.items() if key != name}


@pytest.mark.parametrize(
    ("name", "value", "stand_in"),
    [
        ("whole", 3.5, 1),
        ("whole", True, 1),
        ("whole", "3", 1),
        ("whole", None, 1),
        ("real", True, 0.0),
        ("real", "2", 0.0),
        ("real", None, 0.0),
        ("flag", 0, True),
        ("text", [1, 2], "a"),
        ("text", None, "a"),
        ("scale", "high", 0.1),
        ("sizes", [], "20"),
        ("sizes", [1.5, 2], "20"),
        ("sizes", [-1], "20"),
        ("texts", [20, 20], "10"),
        ("old", None, 0.0),
        ("older", None, 0.1),
        ("oldest", None, 0.0),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_value_of_another_kind_than_the_space_expects_is_not_searched_either(name, value, stand_in):
    suggested, params = drawn(pinned(every_kind, {name: value}), 0)
    assert (suggested[name], type(suggested[name])) == (stand_in, type(stand_in))
    assert params == {key: of for key, of in suggested.items() if key != name}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_pin_that_a_space_never_asks_for_means_nothing():
    assert drawn(pinned(every_kind, {"never asked for": 1}), 0) == drawn(every_kind, 0)


def test_a_space_sees_a_trial_like_any_other():
    seen = {}

    def space(trial):
        trial.suggest_int(name="a", low=1, high=3)
        trial.suggest_categorical(name="b", choices=[1, 2, 3])
        trial.set_user_attr("note", "kept")
        seen.update(params=trial.params, number=trial.number, attrs=trial.user_attrs)
        return {}

    drawn(pinned(space, {"a": 2}), 0)
    assert seen["params"].keys() == {"a", "b"}
    assert (seen["params"]["a"], seen["number"], seen["attrs"]) == (2, 0, {"note": "kept"})
