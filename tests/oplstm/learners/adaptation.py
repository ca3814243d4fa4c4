"""Learners that take gradient steps on images, in packs, compared with a reference that knows one task of one run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.learner import AnyLearner
from oplstm.training.evaluation import evaluate
from tests.oplstm.learners.comparison import distance, random_classes, random_params, training_loss

TOLERANCE = 1e-9  # relative, in norm, per tensor
ROUNDING = 1e-13  # of the whole gradient: a bias before batch norm has none, but for rounding
R, B, WAYS, K, Q = 3, 2, 3, 2, 2
INNER_LRS = (0.05, 0.2, 0.1)
SHAPE = TaskShape((2, 16, 16), WAYS, "cross_entropy")

Weights = dict[str, Tensor]


class Task(NamedTuple):
    """One task; labels are whole numbers."""

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor


class TaskAnswer(NamedTuple):
    """Logits of the queries after each step ``(T, Q, N)``, and the gradient of the loss by every parameter."""

    logits: Tensor
    gradients: Weights


Method = Callable[[Weights, Any, Task, int], TaskAnswer]
"""The answer to a task of a run with these parameters, from the configuration and the number of steps."""


def pictures() -> Episode:
    return random_classes(WAYS, K, Q, R=R, B=B, x=SHAPE.x)


def pack_of(learner: AnyLearner) -> Weights:
    return random_params(learner, R) | {"inner_lr": torch.tensor(INNER_LRS).double()}


def normed_block(weights: Weights, block: int, kernel: Tensor, x: Tensor) -> Tensor:
    """Convolution, batch norm and ReLU of one task's images with PyTorch's own layers."""
    x = functional.conv2d(x, kernel, weights[f"conv.{block}.bias"], padding=1)
    scale, shift = weights[f"conv.{block}.scale"], weights[f"conv.{block}.shift"]
    return functional.relu(functional.batch_norm(x, None, None, scale, shift, training=True))


def answers(method: Method, learner: AnyLearner, params: Weights, episode: Episode, steps: int) -> list[Any]:
    """``[run][task]``, each task by itself."""
    return [
        [
            method(
                {name: tensor[run] for name, tensor in params.items()},
                learner.config,
                Task(
                    episode.support_x[run, task],
                    episode.support_y[run, task].argmax(1),
                    episode.query_x[run, task],
                    episode.query_y[run, task].argmax(1),
                ),
                steps,
            )
            for task in range(B)
        ]
        for run in range(R)
    ]


def gradients_of(learner: AnyLearner, params: Weights, episode: Episode) -> Weights:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items() if name != "inner_lr"}
    losses = training_loss(learner, params | leaves, episode)
    found = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }


def check_training(method: Method, learner: AnyLearner) -> None:
    """Logits after every pass, with gradients enabled, and the gradients of every run are the reference's."""
    params, episode = pack_of(learner), pictures()
    leaves = {name: tensor.clone().requires_grad_(name != "inner_lr") for name, tensor in params.items()}
    logits = [learner.predict(leaves, fast, episode.query_x) for fast in learner.passes(leaves, episode)]
    gradients = gradients_of(learner, params, episode)
    assert len(logits) == learner.config.passes
    for run, wanted in enumerate(answers(method, learner, params, episode, learner.config.passes)):
        for task in range(B):
            assert distance(torch.stack(logits)[:, run, task].detach(), wanted[task].logits) <= TOLERANCE
        assert gradients.keys() == wanted[0].gradients.keys()
        means = {name: sum(answer.gradients[name] for answer in wanted) / B for name in gradients}
        whole = torch.cat([mean.flatten() for mean in means.values()]).norm()
        for name, mean in means.items():
            error = (gradients[name][run] - mean).norm()
            assert error <= TOLERANCE * mean.norm() + ROUNDING * whole, f"{name}: {error:g} of {mean.norm():g}"


def check_evaluation(method: Method, learner: AnyLearner) -> None:
    """Where gradients are disabled: ``eval_passes`` steps, the reference's answers, and no graph."""
    params, episode = pack_of(learner), pictures()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    with torch.no_grad():
        fasts = list(learner.passes(leaves, episode))
        logits = torch.stack([learner.predict(leaves, fast, episode.query_x) for fast in fasts])
    assert len(logits) == learner.config.eval_passes != learner.config.passes
    assert logits.grad_fn is None
    assert all(weight.grad_fn is None for fast in fasts for weight in fast.values())
    losses = evaluate(learner, leaves, episode)["loss"]
    for run, wanted in enumerate(answers(method, learner, params, episode, len(logits))):
        for task in range(B):
            assert distance(logits[:, run, task], wanted[task].logits) <= TOLERANCE
            loss = functional.cross_entropy(wanted[task].logits[-1], episode.query_y[run, task].argmax(1))
            assert distance(losses[run, task], loss) <= TOLERANCE


def check_neighbours(learner: AnyLearner) -> None:
    """A run that has diverged changes nothing of those beside it."""
    params, episode = pack_of(learner), pictures()
    healthy = gradients_of(learner, params, episode)
    for tensor in params.values():
        tensor[1] = torch.nan
    beside = gradients_of(learner, params, episode)
    assert all(torch.equal(grad[[0, 2]], healthy[name][[0, 2]]) for name, grad in beside.items())
