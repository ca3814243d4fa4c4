"""Samplers and pruners by name: all of Optuna's, seeded a trial, and the patience that guards late starters."""

import inspect

import optuna
import pytest

from search_spaces.samplers import is_adaptive, make_pruner, make_sampler
from search_spaces.spaces import SPACES

pytestmark = [
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
TRIALS = 4
ABSTRACT = {"BaseSampler", "BaseGASampler", "BasePruner"}


def classes_of(module, base):
    return {name for name, cls in vars(module).items() if inspect.isclass(cls) and issubclass(cls, base)}


def proposals(name, *, seed=1, options=None):
    study, found = optuna.create_study(), []
    for number in range(TRIALS):
        study.sampler = make_sampler(name, SAMPLERS[name] if options is None else options, seed=seed, trial=number)
        trial = study.ask()
        SPACES["sine-lstm"](trial)
        study.tell(trial, trial.params["lr"])
        found.append(trial.params)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_of_optuna_asks_and_is_told_by_name_and_repeats_itself(name):
    found = proposals(name)
    assert all(set(params) == set(found[0]) and len(params) == 7 for params in found)
    assert len({tuple(params.values()) for params in found}) > TRIALS / 2
    assert proposals(name) == found


INSTEAD = {
    "GridSampler": "name grid, which runs each cell once",
    "BruteForceSampler": "name grid, which runs each cell once",
    "PartialFixedSampler": "name that one, and give the values that do not vary under fixed",
}


def test_every_sampler_of_optuna_works_or_is_refused_with_the_mend():
    assert classes_of(optuna.samplers, optuna.samplers.BaseSampler) - ABSTRACT == {*SAMPLERS, *INSTEAD}
    for name, mend in INSTEAD.items():
        with pytest.raises(ValueError, match=mend):
            make_sampler(name, {}, seed=0, trial=0)
    for name in ABSTRACT:
        with pytest.raises(ValueError, match=f"unknown '{name}'"):
            make_sampler(name, {}, seed=0, trial=0)


def test_another_seed_proposes_something_else():
    assert proposals("RandomSampler", seed=2) != proposals("RandomSampler", seed=1)


def test_every_trial_has_a_seed_of_its_own_and_a_quasi_random_sequence_one():
    assert len({params["lr"] for params in proposals("RandomSampler")}) == TRIALS
    seeds = {make_sampler("QMCSampler", {}, seed=3, trial=number)._seed for number in range(TRIALS)}
    assert seeds == {3}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_among_the_options_takes_the_part_of_the_jobs(name):
    options = SAMPLERS[name] | {"seed": 7}
    found = proposals(name, options=options)
    assert found == proposals(name, seed=7)
    assert len({tuple(params.values()) for params in found}) > TRIALS / 2


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True, None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed must be a whole number >= 0, got {seed!r}"):
        make_sampler("TPESampler", {"seed": seed}, seed=0, trial=0)


def test_only_what_learns_from_results_is_adaptive():
    assert {name for name in [*SAMPLERS, "grid"] if not is_adaptive(name)} == {"RandomSampler", "QMCSampler", "grid"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RandomSampel", {}, "did you mean 'RandomSampler'"),
        ("TPESampler", {"multivariat": True}, "TPESampler does not take these options: unknown 'multivariat'; "
                                              "did you mean 'multivariate'"),
        ("TPESampler", {"n_ei_candidates": 10**9}, "n_ei_candidates must be <= 100000, got 1000000000"),
        ("NSGAIISampler", {"population_size": 1}, "NSGAIISampler does not take these options: `population_size` must"),
    ],
)  # fmt: skip
def test_impossible_samplers_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(name, options, seed=0, trial=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("MedianPrunner", {}, "did you mean 'MedianPruner'"),
        ("BasePruner", {}, "unknown 'BasePruner'"),
        ("PatientPruner", {}, "PatientPruner wraps a pruner: name that one, and give patience beside it"),
        ("PercentilePruner", {}, "PercentilePruner does not take these options: percentile is required"),
        ("MedianPruner", {"n_warmup_step": 3}, "did you mean 'n_warmup_steps'"),
        ("MedianPruner", {"n_warmup_steps": 10**12}, "n_warmup_steps must be <= 1000000000, got 1000000000000"),
        ("SuccessiveHalvingPruner", {"min_early_stopping_rate": 10**8}, "min_early_stopping_rate must be <= 100, got"),
        ("PercentilePruner", {"percentile": 101}, "PercentilePruner does not take these options"),
        ("ThresholdPruner", {}, "Either lower or upper must be specified"),
    ],
)
def test_impossible_pruners_are_refused_by_name(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_pruner(name, options, patience=3)


PRUNERS = {
    "MedianPruner": {"n_startup_trials": 1},
    "NopPruner": {},
    "PercentilePruner": {"percentile": 25.0, "n_startup_trials": 1},
    "SuccessiveHalvingPruner": {},
    "HyperbandPruner": {"max_resource": 12},
    "ThresholdPruner": {"upper": 1.0},
    "WilcoxonPruner": {},
}
COUNTING = ("SuccessiveHalvingPruner", "HyperbandPruner")
"""Pruners that know of a trial what it was when they were asked about it."""


def test_every_pruner_of_optuna_works_or_is_refused_with_the_mend():
    assert classes_of(optuna.pruners, optuna.pruners.BasePruner) - ABSTRACT == {*PRUNERS, "PatientPruner"}


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_of_optuna_judges_by_name_and_repeats_itself(name):
    assert type(make_pruner(name, PRUNERS[name], patience=None)).__name__ == name
    bad = [5.0 + step for step in range(12)]
    found = decisions(bad, patience=None, name=name, options=PRUNERS[name])
    assert found == decisions(bad, patience=None, name=name, options=PRUNERS[name])
    assert any(found) == (name != "NopPruner")


def decisions(values, *, patience, name="MedianPruner", options=PRUNERS["MedianPruner"]):
    """Whether a run with these values at steps 1, 2, ... would be pruned at each, beside ten good ones."""
    study = optuna.create_study(pruner=make_pruner(name, options, patience=patience), study_name="same")
    for _ in range(10):
        good = study.ask()
        for step in range(1, len(values) + 1):
            good.report(0.1, step)
            if name in COUNTING:
                good.should_prune()
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
