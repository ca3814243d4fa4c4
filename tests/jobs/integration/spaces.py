"""Small spaces, named in job files as `tests.jobs.integration.spaces:<function>`."""

from typing import Any

RATES = (0.01, 0.003, 1e-7, 1e6)  # two that learn, one that stands still, one that diverges


def rates(trial: Any) -> dict[str, Any]:
    """What a trial becomes of is a choice: see RATES."""
    return _lstm(trial) | {"lr": trial.suggest_categorical("lr", RATES)}


def learning(trial: Any) -> dict[str, Any]:
    """Continuous, without surprises."""
    return _lstm(trial) | {"lr": trial.suggest_float("lr", 1e-3, 1e-2, log=True)}


def _lstm(trial: Any) -> dict[str, Any]:
    return {
        "widths": [trial.suggest_categorical("hidden", [4, 8])],
        "passes": trial.suggest_int("passes", 1, 2),
        "meta_batch_size": trial.suggest_int("meta_batch_size", 1, 4),
    }


def grid(trial: Any) -> dict[str, Any]:
    """Six cells: the width depends on the number of passes."""
    passes = trial.suggest_categorical("passes", [1, 2])
    widths = [4] if passes == 1 else [trial.suggest_categorical("hidden", [4, 8])]
    return {
        "widths": widths,
        "passes": passes,
        "meta_batch_size": 4,
        "lr": trial.suggest_categorical("lr", [0.01, 0.003]),
    }


CELLS = {(passes, hidden, lr) for passes, hidden in ((1, None), (2, 4), (2, 8)) for lr in (0.01, 0.003)}
"""Of `grid`, as (passes, hidden, lr)."""


def image_rates(trial: Any) -> dict[str, Any]:
    """Two rates of OP-LSTM."""
    return {"lr": trial.suggest_categorical("lr", [0.01, 0.001]), "meta_batch_size": 2}
