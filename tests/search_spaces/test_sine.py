"""The sine spaces against the search spaces of the paper's authors, and what each point of them means."""

import dataclasses
import itertools
import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from oplstm.learners.op_lstm import OPLSTMConfig
from search_spaces.enumeration import enumerate_grid
from search_spaces.spaces import SPACES

RANDOM_SEARCH = {
    "hidden": CategoricalDistribution([1, 3, 8, 20, 40]),
    "layers": IntDistribution(1, 4),
    "passes": IntDistribution(1, 14),
    "meta_batch_size": IntDistribution(1, 4),
    "lr": FloatDistribution(1e-5, 4e-2, log=True),
}
ENCODINGS = (
    "current_target",
    "previous_target",
    "previous_target_prediction",
    "previous_target_error",
    "previous_target_prediction_error",
)
POINT = {"hidden": 8, "layers": 3, "passes": 5, "meta_batch_size": 2, "lr": 0.01}


def distributions(name):
    trial = optuna.create_study().ask()
    SPACES[name](trial)
    return trial.distributions


def test_the_batched_lstm_has_the_ranges_of_the_authors_search():
    assert distributions("sine-lstm") == RANDOM_SEARCH | {
        "pool_cell": CategoricalDistribution([True, False]),
        "loss_on": CategoricalDistribution(["last", "every"]),
    }


def test_the_sequential_lstm_has_the_same_ranges_and_the_five_encodings():
    assert distributions("sine-lstm-sequential") == RANDOM_SEARCH | {"encoding": CategoricalDistribution(ENCODINGS)}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("sine-lstm", {"pool_cell": False, "loss_on": "every"}),
        ("sine-lstm-sequential", {"encoding": "previous_target_error"}),
    ],
)
def test_a_point_of_the_random_search_means_a_stack_of_equal_layers(name, more):
    got = SPACES[name](FixedTrial(POINT | more))
    assert got == {"widths": [8, 8, 8], "passes": 5, "meta_batch_size": 2, "lr": 0.01, **more}


def test_op_lstm_is_the_whole_grid_and_each_cell_once():
    conventions = [
        {"convention": "authors", "pool_states": False},
        {"convention": "authors", "pool_states": True},
        {"convention": "paper"},
    ]
    wanted = [
        {"passes": passes, "meta_batch_size": size, **convention, "rate": rate}
        for passes, size, convention, rate in itertools.product(
            [1, 3, 5, 10], [1, 4, 8, 16, 32], conventions, ["high", "paper"]
        )
    ]
    assert list(enumerate_grid(SPACES["sine-op-lstm"])) == wanted
    assert len(wanted) == 120


@pytest.mark.parametrize("size", [1, 4, 8, 16, 32])
def test_the_rate_of_the_grid_is_a_thousandth_by_the_meta_batch_size(size):
    point = {"passes": 3, "meta_batch_size": size, "convention": "paper"}
    common = {"passes": 3, "meta_batch_size": size, "convention": "paper"}
    assert SPACES["sine-op-lstm"](FixedTrial({**point, "rate": "paper"})) == {**common, "lr": 0.001 / size}
    assert SPACES["sine-op-lstm"](FixedTrial({**point, "rate": "high"})) == {**common, "lr": 0.004}


def test_only_the_authors_convention_asks_about_pooling():
    point = {"passes": 3, "meta_batch_size": 4, "rate": "high", "convention": "authors", "pool_states": True}
    assert SPACES["sine-op-lstm"](FixedTrial(point))["pool_states"] is True
    assert "pool_states" not in SPACES["sine-op-lstm"](FixedTrial(point | {"convention": "paper"}))


def test_the_demo_searches_layers_width_passes_meta_batch_size_and_two_decades_of_rates():
    found = distributions("sine-demo")
    rate = found.pop("lr")
    assert rate.log
    assert math.log10(rate.high / rate.low) == pytest.approx(2)
    assert set(found) == {"hidden", "layers", "passes", "meta_batch_size"}
    assert not any(distribution.single() for distribution in found.values())


def test_the_conventions_are_searched_one_by_one_and_hold_the_authors_and_the_paper_s():
    searched = {name: choices.choices for name, choices in distributions("sine-op-lstm-conventions").items()
                if isinstance(choices, CategoricalDistribution)}  # fmt: skip
    for convention in ({}, OPLSTMConfig.conventions["authors"]):
        config = {field.name: field.default for field in dataclasses.fields(OPLSTMConfig)} | convention
        assert all(config[name] in searched[name] for name in searched if name in config)
    assert set(searched) >= {"normalisation", "pool_states", "message", "gamma_learned", "gamma"}
