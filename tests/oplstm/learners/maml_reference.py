"""MAML one task and one step at a time, with PyTorch's own layers and losses (Finn et al., 2017, Algorithms 1 and 2).

Nothing is batched over tasks or runs. Weights have the names that the learner gives them.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.episodes.episode import Episode

Weights = dict[str, Tensor]


class Answer(NamedTuple):
    """Of one run: predictions after each step ``(T, B, Q, d_y)``, the loss, and its gradient by every parameter."""

    predictions: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]


def normed(weights: Weights, name: str, x: Tensor) -> Tensor:
    scale, shift = weights[f"{name}.scale"], weights[f"{name}.shift"]
    return functional.batch_norm(x, None, None, scale, shift, training=True)


def network(weights: Weights, config: Any, x: Tensor) -> Tensor:
    """Of one task: outputs ``(M, d_y)`` for inputs ``(M, *x)``."""
    if config.backbone == "conv4":
        for block in range(4):
            x = functional.conv2d(x, weights[f"conv.{block}.weight"], weights[f"conv.{block}.bias"], padding="same")
            x = functional.max_pool2d(functional.relu(normed(weights, f"conv.{block}", x)), kernel_size=2)
    x = x.reshape(len(x), -1)
    hidden = len(config.base_widths)
    for layer in range(hidden):
        x = functional.linear(x, weights[f"layer.{layer}.weight"], weights[f"layer.{layer}.bias"])
        if config.batch_norm:
            x = normed(weights, f"layer.{layer}", x)
        x = functional.relu(x) if config.activation == "relu" else torch.tanh(x)
    return functional.linear(x, weights[f"layer.{hidden}.weight"], weights[f"layer.{hidden}.bias"])


def mean_loss(prediction: Tensor, target: Tensor, kind: str) -> Tensor:
    if kind == "mse":
        return functional.mse_loss(prediction, target)
    return functional.cross_entropy(prediction, target.argmax(dim=1))


def clamped(gradient: Tensor, clip: float | None) -> Tensor:
    if clip is None:
        return gradient
    limit = torch.full_like(gradient, clip)
    return gradient.minimum(limit).maximum(-limit)


def descend(start: Weights, inner_lr: Tensor, config: Any, kind: str, xs: Tensor, ys: Tensor) -> Weights:
    """One gradient step of one task."""
    loss = mean_loss(network(start, config, xs), ys, kind)
    gradients = torch.autograd.grad(loss, list(start.values()), create_graph=True)
    if not config.second_order:
        gradients = tuple(gradient.detach() for gradient in gradients)
    return {
        name: weight - inner_lr * clamped(gradient, config.clip)
        for (name, weight), gradient in zip(start.items(), gradients, strict=True)
    }


def answer(params: dict[str, Tensor], config: Any, kind: str, episode: Episode, run: int, steps: int) -> Answer:
    """One run's tasks, one after the other; ``params`` are that run's."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    initial = {name: leaf for name, leaf in leaves.items() if name != "inner_lr"}
    predictions, losses = [], []
    for task in range(episode.task_count):
        weights, after, errors = initial, [], []
        for _ in range(steps):
            weights = descend(
                weights, leaves["inner_lr"], config, kind, episode.support_x[run, task], episode.support_y[run, task]
            )
            after.append(network(weights, config, episode.query_x[run, task]))
            errors.append(mean_loss(after[-1], episode.query_y[run, task], kind))
        losses.append(sum(errors) / steps if config.loss_on == "every" else errors[-1])
        predictions.append(torch.stack(after))
    loss = sum(losses) / len(losses)
    loss.backward()
    gradients = {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in leaves.items()}
    return Answer(torch.stack(predictions, dim=1).detach(), loss.detach(), gradients)
