"""One gradient step of every task on its support set, through which a meta-gradient can pass."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import hardtanh

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

    Where gradients are disabled, the step is the same and nothing keeps a graph. Without ``clip`` the loss is scaled by
    -inner_lr before it is differentiated: adding its gradient to the weights is the step, and no kernel of the size of
    the weights multiplies it.

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
        losses = support_loss(weights)
        scaled = losses if clip is not None else -inner_lr.unsqueeze(1) * losses
        # tasks do not mix: the gradient of the sum is every task's own
        unrolled = meta_training and second_order
        changes = torch.autograd.grad(scaled.sum(), list(weights.values()), create_graph=unrolled)
    if clip is None:
        return {name: weight + change for (name, weight), change in zip(weights.items(), changes, strict=True)}
    return {
        # hardtanh is clamp with a derivative that is one kernel, not four
        name: weight.addcmul(-inner_lr.view(-1, *(1,) * (weight.ndim - 1)), hardtanh(change, -clip, clip))
        for (name, weight), change in zip(weights.items(), changes, strict=True)
    }
