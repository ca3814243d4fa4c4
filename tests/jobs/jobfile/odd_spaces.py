"""Spaces that use all of Optuna, raise, ask for too much: named in job files as `tests.jobs.jobfile.odd_spaces:...`."""

import warnings
from typing import Any

import optuna
from optuna.trial import Trial

TINY = {"widths": [2], "passes": 1, "meta_batch_size": 2}


def whole_trial(trial: Trial) -> dict[str, Any]:
    """Twelve cells, and what else there is to a trial."""
    trial.set_user_attr("why", "because")
    width = trial.suggest_int("width", 1, 3)
    if trial.user_attrs["why"] != "because" or trial.number < 0 or set(trial.distributions) != {"width"}:
        raise RuntimeError("a trial forgets")
    trial.set_constraint("narrow", width - 2)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        rate = trial.suggest_discrete_uniform("rate", 0.1, 0.4, 0.1)
        trial.suggest_uniform("one", 0.5, 0.5)
        trial.suggest_loguniform("other", 0.5, 0.5)
    return TINY | {"widths": [trial.params["width"]], "lr": rate}


def infeasible(trial: Trial) -> dict[str, Any]:
    """Six cells, of which two are not feasible."""
    width, rate = trial.suggest_int("width", 1, 3), trial.suggest_categorical("rate", [0.1, 0.2])
    if width == 2:
        raise optuna.TrialPruned("too wide for its height")
    return TINY | {"widths": [width], "lr": rate}


def never_feasible(trial: Trial) -> dict[str, Any]:
    trial.suggest_int("width", 1, 3)
    raise optuna.TrialPruned


def nowhere_feasible(trial: Trial) -> dict[str, Any]:
    """Points without end."""
    trial.suggest_float("rate", 0.1, 0.2)
    raise optuna.TrialPruned


def wordless(trial: Trial) -> dict[str, Any]:
    """200 cells, of which the one in the middle raises an exception that says nothing."""
    if (cell := trial.suggest_int("cell", 0, 199)) == 100:
        raise ValueError
    return TINY | {"lr": 0.001 * (1 + cell)}


def rarely_huge(trial: Trial) -> dict[str, Any]:
    """200 cells, of which the one in the middle is a network that no machine has room for."""
    cell = trial.suggest_int("cell", 0, 199)
    return TINY | {"widths": [100_000 if cell == 100 else 2], "lr": 0.001 * (1 + cell)}


def huge(trial: Trial) -> dict[str, Any]:
    return TINY | {"widths": [10 ** trial.suggest_int("digits", 12, 13)], "lr": 0.1}


def astronomical(trial: Trial) -> dict[str, Any]:
    return TINY | {"passes": 10**5000, "lr": trial.suggest_float("lr", 0.1, 0.2)}


def rarely_continuous(trial: Trial) -> dict[str, Any]:
    """200 cells but for the one in the middle, which are without end."""
    if (cell := trial.suggest_int("cell", 0, 199)) == 100:
        trial.suggest_float("rate", 0.1, 0.2)
    return TINY | {"lr": 0.001 * (1 + cell)}


def large_grid(trial: Trial) -> dict[str, Any]:
    """249,000 cells."""
    return TINY | {"lr": 0.001 * (1 + trial.suggest_int("a", 0, 248)) + 1e-7 * trial.suggest_int("b", 0, 999)}


def escapes(trial: Trial) -> dict[str, Any]:
    raise ValueError("\x1b[31mred\x1b[0m")
