"""Query losses of a pack on many tasks, without a meta-gradient graph."""

import math
from typing import Any

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.learners.learner import Learner, Params

COLUMNS_AT_ONCE = 1 << 15
"""Bound on R x tasks x query points in one forward pass: keeps memory flat and the working set near the caches."""


def task_losses(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each task, ``(R, B)``, from ``(R, B, Q, d_y)``."""
    return (prediction - target).square().mean((2, 3))


def training_loss(learner: Learner[Any], params: Params, batch: Episode) -> Tensor:
    """The meta-training loss of each run, ``(R,)``: the mean query loss over its tasks."""
    if learner.loss_on_every_pass:
        predictions = (learner.predict(params, fast, batch.query_x) for fast in learner.passes(params, batch))
        losses = torch.stack([task_losses(prediction, batch.query_y) for prediction in predictions]).mean(0)
    else:
        prediction = learner.predict(params, learner.adapt(params, batch), batch.query_x)
        losses = task_losses(prediction, batch.query_y)
    return losses.mean(1)


@torch.no_grad()
def evaluate(learner: Learner[Any], params: Params, tasks: Episode) -> Tensor:
    """The query loss of every task, ``(R, tasks)``, float64.

    Args:
        learner: The method.
        params: Parameters of the pack.
        tasks: One set of tasks an run, or R = 1: the same for all.
    """
    runs = next(iter(params.values())).shape[0]
    queries = tasks.query_x.shape[2]
    at_once = max(1, COLUMNS_AT_ONCE // (runs * queries))
    losses = []
    for start in range(0, tasks.task_count, at_once):
        part = tasks.tasks(start, min(start + at_once, tasks.task_count))
        if part.support_x.shape[0] != runs:
            part = part.expand(runs)
        prediction = learner.predict(params, learner.adapt(params, part), part.query_x)
        losses.append(task_losses(prediction, part.query_y).double())
    return torch.cat(losses, dim=1)


def ci95(losses: Tensor) -> Tensor:
    """Half-width of the normal 95% confidence interval of the mean over the last axis (tasks)."""
    return 1.959963984540054 * losses.std(-1) / math.sqrt(losses.shape[-1])
