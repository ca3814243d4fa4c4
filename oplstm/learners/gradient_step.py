"""One gradient step of every task on its support set, through which a meta-gradient can pass."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from oplstm.shape import Shape
from oplstm.tensors import PerRun, PerTask, TaskWeights


def per_task(param: Annotated[Tensor, Shape("R *rest")], tasks: int) -> Annotated[Tensor, Shape("R B *rest")]:
    """What a run has, for each of its ``tasks``, without copying."""
    return param.unsqueeze(1).expand(-1, tasks, *param.shape[1:])


def gradient_step(
    support_loss: Callable[[TaskWeights], PerTask],
    weights: TaskWeights,
    inner_lr: PerRun,
    *,
    second_order: bool = True,
    clip: float | None = None,
) -> dict[str, Annotated[Tensor, Shape("R B ...")]]:
    """The weights after a step down the gradient of the support loss.

    Where gradients are disabled, the step is the same and nothing keeps a graph.

    Args:
        support_loss: The loss of every task with the weights it is given.
        weights: Where the step starts.
        inner_lr: Step size.
        second_order: Keep the graph of the inner gradients; otherwise they count as constants.
        clip: Clamp every number of the inner gradients to [-clip, clip]; None does not.
    """
    meta_training = torch.is_grad_enabled()
    weights = {
        name: w if meta_training and w.requires_grad else w.detach().requires_grad_() for name, w in weights.items()
    }
    with torch.enable_grad():
        # tasks do not mix: the gradient of the sum is every task's own
        gradients = torch.autograd.grad(
            support_loss(weights).sum(), list(weights.values()), create_graph=meta_training and second_order
        )
    if clip is not None:
        gradients = tuple(gradient.clamp(-clip, clip) for gradient in gradients)
    return {
        name: torch.addcmul(weight, inner_lr.view(-1, *(1,) * (weight.ndim - 1)), gradient, value=-1)
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
