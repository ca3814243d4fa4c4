"""Losses of a pack: the one that is trained on, and those of many tasks without a meta-gradient graph."""

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.episode import Batch, Episode
from oplstm.episodes.losses import task_accuracies, task_losses
from oplstm.learners.learner import AnyLearner
from oplstm.learners.rows import rows_of
from oplstm.shape import Shape
from oplstm.tensors import Params, PerTask


class Bounds(NamedTuple):
    """What one forward pass of an evaluation holds at most, beside at least one task.

    Attributes:
        runs: R.
        columns: R x tasks x query points.
        numbers: In the inputs.
    """

    runs: int
    columns: int
    numbers: int


AT_ONCE = {"cpu": Bounds(8, 1 << 15, 1 << 21), "cuda": Bounds(1 << 10, 1 << 20, 1 << 26)}
"""By device. On a CPU more would leave the caches, and many runs read many weights for few tasks each; a GPU has memory
for far more, and needs it, because each kernel must keep it busy for longer than its launch takes."""


def training_losses(
    learner: AnyLearner, params: Params, *, batch: Batch, counts: Sequence[int] | None = None
) -> PerTask:
    """The meta-training loss of each task: its query loss after the last pass, or the mean or sum over all.

    Args:
        learner: The method.
        params: Parameters of the pack.
        batch: Its tasks.
        counts: T of each run, none larger than the one before; see ``Learner.passes``.
    """
    loss = learner.shape.loss
    if not learner.loss_on_every_pass:
        adapted = learner.adapt(params, batch, counts)
        losses = task_losses(learner.predict(params, adapted, batch.query_x), batch.query_y, loss)
        beside = learner.loss_beside(adapted)
        return losses if beside is None else losses + beside
    total = batch.query_y.new_zeros(batch.query_y.shape[:2])
    made = total.new_zeros(len(total), 1)
    for done, fast in enumerate(learner.passes(params, batch, counts)):
        active = len(total) if counts is None else sum(count > done for count in counts)
        part = batch.runs(0, active)
        prediction = learner.predict(rows_of(params, 0, active), fast, part.query_x)
        total = torch.cat((total[:active] + task_losses(prediction, part.query_y, loss), total[active:]))
        made[:active] += 1
    return total if learner.sums_passes else total / made


@torch.no_grad()
def evaluate(
    learner: AnyLearner,
    params: Params,
    episode: Annotated[Episode, Shape("#R tasks")],
    *,
    tasks: Tasks | None = None,
    counts: Sequence[int] | None = None,
) -> dict[str, Annotated[Tensor, Shape("R tasks")]]:
    """The scores of every task, float64: ``loss``, and ``accuracy`` of a classification.

    Args:
        learner: The method.
        params: Parameters of the pack.
        episode: One set of tasks a run, or R = 1: the same for all.
        tasks: Gathers the inputs of a part of the episode at a time; None where they are there.
        counts: T of each run, none larger than the one before; see ``Learner.passes``.
    """
    runs = next(iter(params.values())).shape[0]
    queries = episode.query_y.shape[2]
    numbers = (episode.support_y.shape[2] + queries) * learner.shape.d_x
    bounds = AT_ONCE[episode.query_y.device.type]
    rows = min(runs, bounds.runs)
    some = max(1, min(bounds.columns // queries, bounds.numbers // numbers) // rows)
    by_rows = []
    for first in range(0, runs, rows):
        last = min(first + rows, runs)
        own, own_counts = rows_of(params, first, last), None if counts is None else counts[first:last]
        by_tasks = []
        for start in range(0, episode.task_count, some):
            part = episode.tasks(start, start + some)
            part = part.runs(first, last) if len(part.query_y) == runs else part
            part = part if tasks is None else tasks.gather(part)
            by_tasks.append(_scores(learner, own, episode=part.expand(last - first), counts=own_counts))
        by_rows.append({name: torch.cat([scores[name] for scores in by_tasks], dim=1) for name in by_tasks[0]})
    return {name: torch.cat([scores[name] for scores in by_rows]) for name in by_rows[0]}


def _scores(learner: AnyLearner, params: Params, *, episode: Batch, counts: Sequence[int] | None) -> dict[str, PerTask]:
    prediction = learner.predict(params, learner.adapt(params, episode, counts), episode.query_x)
    scores = {"loss": task_losses(prediction, episode.query_y, learner.shape.loss).double()}
    if learner.shape.loss == "cross_entropy":
        scores["accuracy"] = task_accuracies(prediction, episode.query_y)
    return scores


def ci95(values: Annotated[Tensor, Shape("*rest tasks")]) -> Annotated[Tensor, Shape("*rest")]:
    """Half-width of the normal 95% confidence interval of the mean over tasks."""
    return 1.959963984540054 * values.std(-1) / math.sqrt(values.shape[-1])
