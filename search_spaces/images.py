"""Spaces for Omniglot, miniImageNet and CUB: the searches of the paper, with the rate tied to the meta-batch size."""

from typing import Any

from optuna.trial import Trial

LSTM_WIDTHS = (
    "1024-512-256-128-64", "2048-1024-512-128-64", "2048-1024-512-256-128", "1024-600-400-200-92",
    "1024-512-512-256-128-64", "1024-512-512-256-256-128-64", "612-400-256-128-64", "1024-1024-1024-512-256-128-64",
    "2048-1024-512-180-100", "1024-580-280-160-80", "256-128-64", "512-256-128-64", "128-64-64-64", "512-256-64",
    "256-128-100", "128-64-64-64-64", "64-64-64-64", "50-50",
)  # fmt: skip
"""The authors' lists; most of the large ones stayed at chance in their search."""

OP_LSTM_CELLS = ("20-1", "10-10-1", "40-1", "40-20-1", "20-20-20-1")
"""The authors' lists; whatever their last number says, their code makes it 1."""


def lstm(trial: Trial) -> dict[str, Any]:
    """The random search of the plain LSTM on pixels: stacks of different widths, T, meta-batch size."""
    widths = trial.suggest_categorical("widths", LSTM_WIDTHS)
    return {"widths": _numbers(widths), "passes": trial.suggest_int("passes", 1, 10), **_batch(trial, 1, 32)}


def lstm_conv4(trial: Trial) -> dict[str, Any]:
    """The plain LSTM on Conv-4 features, around the paper's 2 x 1904."""
    hidden = trial.suggest_categorical("hidden", [200, 600, 1904])
    return {
        "widths": [hidden] * trial.suggest_int("layers", 1, 2),
        "passes": trial.suggest_int("passes", 1, 5),
        **_batch(trial, 1, 32),
    }


def op_lstm(trial: Trial) -> dict[str, Any]:
    """The grid of OP-LSTM: 5 meta-batch sizes x 4 T x 5 coordinate-wise LSTMs."""
    return _op_lstm(trial, OP_LSTM_CELLS)


def op_lstm_omniglot(trial: Trial) -> dict[str, Any]:
    """The same grid, and the 5-5-1 of the paper's final run on the fully-connected network, which is not in it."""
    return _op_lstm(trial, ("5-5-1", *OP_LSTM_CELLS))


def op_lstm_rates(trial: Trial) -> dict[str, Any]:
    """The rate, which the grid of OP-LSTM leaves alone, with the smaller cells; T and B are the job's."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 3e-3, log=True),
        "cells": _numbers(trial.suggest_categorical("cells", ["5-5-1", "20-1", "10-10-1"])),
    }


def shots(trial: Trial) -> dict[str, Any]:
    """Fig. 5, right: sequential against batched, at every number of shots."""
    return {
        "support": trial.suggest_categorical("support", ["batched", "sequential"]),
        "shots": trial.suggest_categorical("shots", [1, 3, 5, 8, 10]),
    }


def _op_lstm(trial: Trial, cells: tuple[str, ...]) -> dict[str, Any]:
    meta_batch_size = trial.suggest_categorical("meta_batch_size", [1, 4, 8, 16, 32])
    return {
        "meta_batch_size": meta_batch_size,
        "passes": trial.suggest_categorical("passes", [1, 3, 5, 10]),
        "cells": _numbers(trial.suggest_categorical("cells", cells)),
        "lr": 0.001 / meta_batch_size,
    }


def _batch(trial: Trial, low: int, high: int) -> dict[str, Any]:
    """Adam hides the sum over the meta-batch, so the authors' rate falls with its size."""
    size = trial.suggest_int("meta_batch_size", low, high)
    return {"meta_batch_size": size, "lr": 0.001 / size}


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split("-")]
