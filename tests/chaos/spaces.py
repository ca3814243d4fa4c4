"""The spaces of the sweeps that are hurt, named in job files as `tests.chaos.spaces:<function>`."""

from typing import Any


def rates(trial: Any) -> dict[str, Any]:
    """Rates from such that learn to such that stand still, and are pruned."""
    return {
        "widths": [trial.suggest_categorical("hidden", [4, 8])],
        "passes": 1,
        "meta_batch_size": trial.suggest_int("meta_batch_size", 2, 4),
        "lr": trial.suggest_float("lr", 1e-6, 1e-2, log=True),
    }


def cells(trial: Any) -> dict[str, Any]:
    """Six cells of one signature, two of which stand still and are pruned."""
    return {
        "widths": [trial.suggest_categorical("hidden", [4, 8])],
        "passes": 1,
        "meta_batch_size": 4,
        "lr": trial.suggest_categorical("lr", [0.01, 1e-6, 0.003]),
    }
