"""A space of Reptile, for any benchmark."""

from typing import Any


def reptile(trial: Any) -> dict[str, Any]:
    """Width, depth, steps and both rates."""
    width = trial.suggest_categorical("width", [20, 40])
    return {
        "base_widths": [width] * trial.suggest_int("layers", 1, 2),
        "passes": trial.suggest_int("passes", 2, 6),
        "inner_lr": trial.suggest_float("inner_lr", 0.005, 0.1, log=True),
        "lr": trial.suggest_float("lr", 1e-3, 1e-2, log=True),
        "meta_batch_size": 4,
    }
