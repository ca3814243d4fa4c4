"""Reptile: gradient descent on a task's support set, after which the initial weights move towards where it has led.

Nichol, Achiam & Schulman (2018), "On First-Order Meta-Learning Algorithms", Algorithm 1.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from oplstm.configuration import Problems, positive
from oplstm.episodes.losses import task_losses
from oplstm.learners.gradient_step import gradient_step, per_task
from oplstm.learners.learner import Learner
from oplstm.learners.signature import VARIES
from oplstm.nets.backbone import Backbone, feature_count, features, init_backbone
from oplstm.nets.fully_connected import fully_connected, init_fully_connected

Weights = dict[str, Tensor]
"""By name, ``(R, B, ...)``."""


@dataclass(frozen=True, kw_only=True)
class ReptileConfig:
    """Hyperparameters of Reptile.

    Attributes:
        backbone: What makes the inputs of the fully-connected network: nothing, or Conv-4.
        base_widths: Its hidden widths.
        passes: T, gradient steps on the support set.
        inner_lr: Their size.
    """

    backbone: Backbone = "none"
    base_widths: tuple[int, ...] = (40, 40)
    passes: int = field(default=5, metadata=VARIES)
    inner_lr: float = field(default=0.02, metadata=VARIES)

    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "passes", "inner_lr")
        if any(width < 1 for width in self.base_widths):
            problems.add("base_widths", f"must be widths >= 1, got {list(self.base_widths)}")


class State(NamedTuple):
    """Where a task began and where it is."""

    start: Weights
    now: Weights


class Fast(NamedTuple):
    """The adapted weights, and how far they are from where they began: half the squared distance, ``(R, B)``."""

    weights: Weights
    distance: Tensor


class Reptile(Learner[ReptileConfig, State, Fast]):
    """A network that takes gradient steps on the support set; no gradient passes through them."""

    name = "reptile"
    config_class = ReptileConfig

    def init(self, config: ReptileConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone and the fully-connected network."""
        widths = (feature_count(config.backbone, self.shape.x), *config.base_widths, self.shape.d_y)
        network = init_fully_connected(widths, generator, norm=False)
        return init_backbone(config.backbone, self.shape.x, generator) | network

    def constants(self, config: ReptileConfig) -> dict[str, Tensor]:
        """The step size."""
        return {"inner_lr": torch.tensor(config.inner_lr)}

    def begin(self, params: Any, support: Any) -> State:
        """The initial weights, for every task its own."""
        start = {name: per_task(w, support.task_count) for name, w in params.items() if name != "inner_lr"}
        return State(start, {name: w.detach().contiguous() for name, w in start.items()})

    def one_pass(self, params: Any, support: Any, state: State) -> State:
        """A step down the gradient of the support loss."""

        def support_loss(weights: Any) -> Tensor:
            return task_losses(self._forward(weights, support.support_x), support.support_y, self.shape.loss)

        moved = gradient_step(support_loss, state.now, params["inner_lr"], second_order=False)
        return State(state.start, {name: w.detach() for name, w in moved.items()})

    def fast(self, state: State) -> Fast:
        """The weights, and the distance."""
        parts = [(state.start[name] - w).flatten(2).square().sum(2) for name, w in state.now.items()]
        return Fast(state.now, torch.stack(parts).sum(0) / 2)

    def loss_beside(self, fast: Fast) -> Tensor:
        """Its gradient, start - now, is the step that Reptile makes; the query loss has none and is only looked at."""
        return fast.distance

    def predict(self, params: Any, fast: Fast, query_x: Tensor) -> Tensor:
        """The network with its adapted weights."""
        return self._forward(fast.weights, query_x)

    def _forward(self, weights: Any, x: Tensor) -> Tensor:
        config = self.config
        x = features(config.backbone, weights, x)
        return fully_connected(weights, x, layers=len(config.base_widths) + 1, activation="relu")
