"""Adam (Kingma & Ba, 2015) for R runs at once, each with its own learning rate."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from oplstm.shape import Shape

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass
class AdamMoments:
    """Running moments of the gradient."""

    first: Annotated[Tensor, Shape("*axes")]
    second: Annotated[Tensor, Shape("*axes")]

    @classmethod
    def zeros(cls, like: Annotated[Tensor, Shape("R P")]) -> Annotated["AdamMoments", Shape("R P")]:
        """The moments before the first step."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))


@torch.no_grad()
def adam_step(
    weights: Annotated[Tensor, Shape("R P")],
    grad: Annotated[Tensor, Shape("R P")],
    moments: Annotated[AdamMoments, Shape("R P")],
    *,
    lr: Annotated[Tensor, Shape("R 1")],
    steps: Annotated[Tensor, Shape("R 1")],
    alive: Annotated[Tensor, Shape("R 1")],
) -> None:
    """One step, as ``torch.optim.Adam`` with its defaults, of ``weights`` and ``moments`` in place.

    Args:
        weights: Before and after.
        grad: Their gradient.
        moments: Before and after.
        lr: Learning rate.
        steps: Number of this step for each run, 1 at first; float64.
        alive: Bool; runs that have diverged do not move.
    """
    moments.first.lerp_(grad, 1 - BETAS[0])
    moments.second.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
    first_correction, second_correction = ((1 - beta**steps).to(weights.dtype) for beta in BETAS)
    scale = moments.second.sqrt().div_(second_correction.sqrt()).add_(EPSILON)
    step = torch.div(moments.first, scale, out=scale).mul_(lr / first_correction)
    weights.sub_(torch.where(alive, step, 0.0))
