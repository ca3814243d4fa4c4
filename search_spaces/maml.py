"""Spaces for MAML: the authors' two-stage search on sine, and one on images."""

from typing import Any

from optuna.trial import Trial


def sine(trial: Trial) -> dict[str, Any]:
    """The first stage on sine: T, meta-batch size and both rates, on a network of two layers of 40."""
    return {
        "base_widths": [40, 40],
        "passes": trial.suggest_int("passes", 1, 14),
        "meta_batch_size": trial.suggest_int("meta_batch_size", 1, 4),
        "lr": trial.suggest_float("lr", 1e-5, 4e-2, log=True),
        "inner_lr": trial.suggest_float("inner_lr", 1e-3, 0.38, log=True),
    }


SINE_WIDTHS = (
    "40-40", "91-91-91", "152-152-152", "150-150-150", "81-81-81-81", "123-123-123-123", "214-214", "140-140",
    "70-70-70-70-70", "63-63-63-63-63-63", "96-96-96-96-96-96", "105-105-105-105-105",
)  # fmt: skip


def sine_widths(trial: Trial) -> dict[str, Any]:
    """The second stage on sine: widths and depths, with what the first stage found fixed in the job."""
    widths = trial.suggest_categorical("widths", SINE_WIDTHS)
    return {"base_widths": [int(width) for width in widths.split("-")]}


def images(trial: Trial) -> dict[str, Any]:
    """T in meta-training, both rates and the meta-batch size; meta-test takes two steps more."""
    passes = trial.suggest_int("passes", 1, 5)
    return {
        "passes": passes,
        "eval_passes": passes + 2,
        "meta_batch_size": trial.suggest_categorical("meta_batch_size", [2, 4, 8, 16, 32]),
        "lr": trial.suggest_float("lr", 1e-5, 1e-2, log=True),
        "inner_lr": trial.suggest_float("inner_lr", 1e-2, 1.0, log=True),
    }
