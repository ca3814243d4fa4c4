"""Spaces for prototypical networks, Warp-MAML and SAP on images."""

from typing import Any

from optuna.trial import Trial


def protonet(trial: Trial) -> dict[str, Any]:
    """Meta-batch size and rate; the way of meta-training is the benchmark's ``train_ways``."""
    return {
        "meta_batch_size": trial.suggest_categorical("meta_batch_size", [1, 2, 4, 8, 16]),
        "lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True),
        "train_ways": trial.suggest_categorical("train_ways", [5, 10, 20]),
    }


def inner_steps(trial: Trial) -> dict[str, Any]:
    """Of Warp-MAML and SAP: T in meta-training and at meta-test, both rates and the meta-batch size."""
    return {
        "passes": trial.suggest_int("passes", 1, 5),
        "eval_passes": trial.suggest_categorical("eval_passes", [5, 10]),
        "meta_batch_size": trial.suggest_categorical("meta_batch_size", [1, 2, 4]),
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "inner_lr": trial.suggest_float("inner_lr", 1e-3, 0.5, log=True),
    }
