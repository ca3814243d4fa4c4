"""OP-LSTM with cells set by hand, whose messages are known functions of their inputs, and random tasks for it."""

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.op_lstm import OPLSTM, OPLSTMConfig

OPEN = 40.0  # a gate with this bias is 1 in float64, with its negative 4e-18
SIGNAL = 1e-3  # tanh(tanh(z)) = z - 2 z^3 / 3 + ...: at this size a message is off its linear value by 1e-6 of it
SHARP = 1e6  # slope of the gate that tells a live ReLU (above 1e-4) from a dead one (0)
INPUT, FORGET, OUTPUT, CANDIDATE = range(4)


def op_lstm(shape: TaskShape, **options) -> OPLSTM:
    """OP-LSTM with one cell of width 1 for each LSTM: i, f and o can be held open or shut."""
    return OPLSTM(OPLSTMConfig(**({"base_widths": (), "cells": (1,), "passes": 1, "gamma": 1.0} | options)), shape)


def params_of(learner: OPLSTM, runs: int = 1, seed: int = 0) -> dict[str, Tensor]:
    """A pack in float64: random H and b, cells that remember nothing and answer zero, the configured gamma."""
    g = torch.Generator().manual_seed(seed)
    params = {
        name: 0.5 * torch.randn(runs, *tensor.shape, generator=g, dtype=torch.float64)
        for name, tensor in learner.init(learner.config, g).items()
    }
    for part in ("output", "body"):
        for name in [name for name in params if name.startswith(f"{part}.")]:
            params[name] = torch.zeros_like(params[name])
        if f"{part}.0.b_x" in params:
            gates = params[f"{part}.0.b_x"]
            gates[:, INPUT], gates[:, FORGET], gates[:, OUTPUT] = OPEN, -OPEN, OPEN
    params["gamma"] = torch.full((runs,), learner.config.gamma, dtype=torch.float64)
    return params


def answers_with_the_error(params: dict[str, Tensor]) -> None:
    """Output messages SIGNAL (y - a): minus the derivative of the loss, be it MSE or cross-entropy."""
    weight = params["output.0.w_x"]
    weight[:, CANDIDATE, 0], weight[:, CANDIDATE, 1] = -SIGNAL, SIGNAL


def answers_with_the_label(params: dict[str, Tensor]) -> None:
    """Output messages that are a positive number for the example's class and exactly zero for the others."""
    params["output.0.w_x"][:, CANDIDATE, 1] = 3.0


def sends_errors_through_relu(params: dict[str, Tensor]) -> None:
    """Hidden messages m if a > 0, and 0 if a = 0: the message from above times the derivative of ReLU."""
    weight = params["body.0.w_x"]
    weight[:, CANDIDATE, 1] = 1.0
    weight[:, OUTPUT, 0] = SHARP
    params["body.0.b_x"][:, OUTPUT] = -OPEN


def tasks(shape: TaskShape, *, runs: int = 1, count: int = 2, examples: int = 5, seed: int = 0) -> Episode:
    """Standard normal inputs; standard normal targets, or for a classification every class in turn; float64."""
    g = torch.Generator().manual_seed(seed)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(runs, count, *sizes, generator=g, dtype=torch.float64)

    def targets(number: int) -> Tensor:
        if shape.loss == "mse":
            return normal(number, shape.d_y)
        labels = torch.rand(runs, count, number, generator=g).argsort(2) % shape.d_y
        return functional.one_hot(labels, shape.d_y).double()

    queries = 4
    return Episode(normal(examples, *shape.x), targets(examples), normal(queries, *shape.x), targets(queries))
