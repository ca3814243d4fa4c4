"""Spaces for sine regression. Ranges from the authors' notebooks where they searched the same thing."""

from typing import Any

from optuna.trial import Trial


def lstm(trial: Trial) -> dict[str, Any]:
    """The random search of the batched LSTM, crossed with pooling of c and the loss on the last or every pass."""
    return {
        **_shape_and_rate(trial),
        "pool_cell": trial.suggest_categorical("pool_cell", [True, False]),
        "loss_on": trial.suggest_categorical("loss_on", ["last", "every"]),
    }


def lstm_sequential(trial: Trial) -> dict[str, Any]:
    """The random search of the sequential LSTM, crossed with the five support encodings."""
    encodings = ["", "_prediction", "_error", "_prediction_error"]
    choices = ["current_target", *(f"previous_target{suffix}" for suffix in encodings)]
    return {**_shape_and_rate(trial), "encoding": trial.suggest_categorical("encoding", choices)}


def _shape_and_rate(trial: Trial) -> dict[str, Any]:
    hidden = trial.suggest_categorical("hidden", [1, 3, 8, 20, 40])
    return {
        "widths": [hidden] * trial.suggest_int("layers", 1, 4),
        "passes": trial.suggest_int("passes", 1, 14),
        "meta_batch_size": trial.suggest_int("meta_batch_size", 1, 4),
        "lr": trial.suggest_float("lr", 1e-5, 4e-2, log=True),
    }


def op_lstm(trial: Trial) -> dict[str, Any]:
    """The grid over T and the meta-batch size, crossed with what decides whether OP-LSTM learns sine at all.

    That is the convention (the paper's equations, or the authors' code with and without the pooling of Eq. 17) and
    the rate: ``paper`` is the grid's lr = .001 / meta-batch size, ``high`` is .004 whatever the meta-batch size.
    """
    passes = trial.suggest_categorical("passes", [1, 3, 5, 10])
    meta_batch_size = trial.suggest_categorical("meta_batch_size", [1, 4, 8, 16, 32])
    convention = trial.suggest_categorical("convention", ["authors", "paper"])
    options: dict[str, Any] = {"convention": convention}
    if convention == "authors":
        options["pool_states"] = trial.suggest_categorical("pool_states", [False, True])
    rate = trial.suggest_categorical("rate", ["high", "paper"])
    return {
        "passes": passes,
        "meta_batch_size": meta_batch_size,
        **options,
        "lr": 0.004 if rate == "high" else 0.001 / meta_batch_size,
    }


def op_lstm_conventions(trial: Trial) -> dict[str, Any]:
    """What the paper's equations and the authors' code do differently, each choice by itself, with T, B and rate.

    Pin one, as ``--set normalisation=all``, and sweeps of each can be compared at equal tuning effort.
    """
    return {
        "normalisation": trial.suggest_categorical("normalisation", ["example", "layer", "all", "none"]),
        "pool_states": trial.suggest_categorical("pool_states", [False, True]),
        "message": trial.suggest_categorical("message", ["previous", "current"]),
        "gamma_learned": trial.suggest_categorical("gamma_learned", [False, True]),
        "gamma": trial.suggest_categorical("gamma", [0.025, 0.1, 0.3]),
        "passes": trial.suggest_categorical("passes", [3, 5, 9]),
        "meta_batch_size": trial.suggest_categorical("meta_batch_size", [1, 4]),
        "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
    }


def shots(trial: Trial) -> dict[str, Any]:
    """Fig. 5, left: sequential against batched, at every number of shots."""
    return {
        "support": trial.suggest_categorical("support", ["batched", "sequential"]),
        "shots": trial.suggest_categorical("shots", [5, 10, 20, 30, 40, 50]),
    }


def demo(trial: Trial) -> dict[str, Any]:
    """A small part of ``lstm`` around what a laptop can train in minutes; the rate still spans two decades."""
    width = trial.suggest_categorical("hidden", [20, 40])
    return {
        "widths": [width] * trial.suggest_int("layers", 2, 3),
        "passes": trial.suggest_int("passes", 3, 5),
        "meta_batch_size": trial.suggest_int("meta_batch_size", 2, 4),
        "lr": trial.suggest_float("lr", 3e-4, 3e-2, log=True),
    }
