"""Samplers and pruners by name: all of Optuna's, seeded a trial, and the patience that guards late starters."""

import importlib.util

import optuna
import pytest

from search_spaces.samplers import is_adaptive, make_pruner, make_sampler
from search_spaces.spaces import SPACES

pytestmark = [
    pytest.mark.unit,
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

SAMPLERS = {
    "RandomSampler": {},
    "TPESampler": {"n_startup_trials": 2},
    "GPSampler": {"n_startup_trials": 2},
    "NSGAIISampler": {"population_size": 3},
    "NSGAIIISampler": {"population_size": 3},
    "QMCSampler": {},
    "CmaEsSampler": {"n_startup_trials": 1, "warn_independent_sampling": False},
}
NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "scipy"}
TRIALS = 4


def proposals(name, *, seed=1):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{name} needs the package {NEEDS[name]}")
    study, found = optuna.create_study(), []
    for number in range(TRIALS):
        study.sampler = make_sampler(name, SAMPLERS[name], seed=seed, trial=number)
        trial = study.ask()
        SPACES["sine-lstm"](trial)
        study.tell(trial, trial.params["lr"])
        found.append(trial.params)
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_of_optuna_proposes_by_name_and_repeats_itself(name):
    found = proposals(name)
    assert all(set(params) == set(found[0]) and len(params) == 7 for params in found)
    assert len({params["lr"] for params in found}) > TRIALS / 2
    assert proposals(name) == found


def test_the_list_above_is_all_that_optuna_has():
    excluded = {"BaseSampler", "BaseGASampler", "GridSampler", "BruteForceSampler", "PartialFixedSampler"}
    assert {name for name in optuna.samplers.__all__ if name.endswith("Sampler")} - excluded == set(SAMPLERS)
    with pytest.raises(ValueError, match="unknown 'BaseGASampler'"):
        make_sampler("BaseGASampler", {}, seed=0, trial=0)


def test_another_seed_proposes_something_else():
    assert proposals("RandomSampler", seed=2) != proposals("RandomSampler", seed=1)


def test_every_trial_has_a_seed_of_its_own_and_a_quasi_random_sequence_one():
    assert len({params["lr"] for params in proposals("RandomSampler")}) == TRIALS
    seeds = {make_sampler("QMCSampler", {}, seed=3, trial=number)._seed for number in range(TRIALS)}
    assert seeds == {3}


def test_a_seed_among_the_options_wins():
    study = optuna.create_study()
    values = []
    for number in range(2):
        study.sampler = make_sampler("RandomSampler", {"seed": 7}, seed=1, trial=number)
        values.append(study.ask().suggest_float("x", 0, 1))
    assert values[0] == values[1]


def test_only_what_learns_from_results_is_adaptive():
    assert {name for name in [*SAMPLERS, "grid"] if not is_adaptive(name)} == {"RandomSampler", "QMCSampler", "grid"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RandomSampel", {}, "did you mean 'RandomSampler'"),
        ("GridSampler", {}, "unknown 'GridSampler'"),
        ("TPESampler", {"n_startup": 1}, "TPESampler does not take these options: .*n_startup"),
    ],
)
def test_impossible_samplers_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(name, options, seed=0, trial=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("MedianPrunner", {}, "did you mean 'MedianPruner'"),
        ("PatientPruner", {}, "unknown 'PatientPruner'"),
        ("PercentilePruner", {"percentile": 101}, "PercentilePruner does not take these options"),
        ("ThresholdPruner", {}, "Either lower or upper must be specified"),
    ],
)
def test_impossible_pruners_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_pruner(name, options, patience=3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MedianPruner", {}),
        ("NopPruner", {}),
        ("PercentilePruner", {"percentile": 25.0}),
        ("SuccessiveHalvingPruner", {}),
        ("HyperbandPruner", {}),
        ("ThresholdPruner", {"upper": 1.0}),
        ("WilcoxonPruner", {}),
    ],
)
def test_every_pruner_of_optuna_is_made_by_name(name, options):
    assert type(make_pruner(name, options, patience=None)).__name__ == name


def decisions(values, *, patience, name="MedianPruner"):
    """Whether a run with these values at steps 1, 2, ... would be pruned at each, beside ten good ones."""
    study = optuna.create_study(pruner=make_pruner(name, {"n_startup_trials": 1}, patience=patience))
    for _ in range(10):
        good = study.ask()
        for step in range(1, len(values) + 1):
            good.report(0.1, step)
        study.tell(good, 0.1)
    trial, found = study.ask(), []
    for step, value in enumerate(values, start=1):
        trial.report(value, step)
        found.append(trial.should_prune())
    return found


def test_a_run_that_improves_is_not_pruned_before_its_patience_is_over():
    late = [5.0, 4.0, 3.0, 3.1, 3.1, 3.1, 3.1]
    assert decisions(late, patience=None) == [True] * 7
    assert decisions(late, patience=2) == [False, False, False, False, False, True, True]
    assert decisions(late, patience=3) == [False, False, False, False, False, False, True]


def test_a_run_that_goes_on_improving_is_never_pruned():
    assert decisions([9.0 - step for step in range(8)], patience=1) == [False] * 8


def test_without_a_pruner_nothing_is_pruned():
    study = optuna.create_study(pruner=make_pruner(None, {}, patience=1))
    trial = study.ask()
    trial.report(1e9, 1)
    assert not trial.should_prune()
