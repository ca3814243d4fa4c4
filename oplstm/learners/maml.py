"""MAML (Section 3): gradient descent from a meta-learned initialisation, through which the meta-gradient passes.

Finn, Abbeel & Levine (2017), "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", Algorithms 1 and 2.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from oplstm.configuration import Problems, positive
from oplstm.episodes.episode import Batch
from oplstm.episodes.losses import task_losses
from oplstm.learners.gradient_step import gradient_step, per_task
from oplstm.learners.learner import Learner
from oplstm.learners.signature import VARIES
from oplstm.nets.backbone import Backbone, feature_count, features, init_backbone
from oplstm.nets.fully_connected import Activation, fully_connected, init_fully_connected
from oplstm.shape import Shape
from oplstm.tensors import Inputs, Params, PerTask, Predictions, Queries, Scalars, TaskWeights

Fast = dict[str, Annotated[Tensor, Shape("R B ...")]]
"""The adapted weights by name."""


@dataclass(frozen=True, kw_only=True)
class MAMLConfig:
    """Hyperparameters of MAML.

    Attributes:
        backbone: What makes the inputs of the fully-connected network: nothing, or Conv-4, adapted with the rest.
        base_widths: Hidden widths of the fully-connected network; none leaves its output layer.
        batch_norm: Normalise its hidden layers, by the statistics of the support or query set at hand.
        activation: Of its hidden layers.
        passes: T, gradient steps on the support set in meta-training.
        eval_passes: T in meta-validation and meta-test; None: as in training.
        inner_lr: Step size of the gradient steps.
        second_order: Backpropagate through the inner gradients; otherwise they count as constants (first-order MAML).
        clip: Clamp every number of the inner gradients to [-clip, clip]; None does not. The authors do so where T > 1.
        loss_on: Train on the query loss after the ``last`` step, or on the mean over ``every`` step.
    """

    backbone: Backbone = "none"
    base_widths: tuple[int, ...] = (91, 91, 91)
    batch_norm: bool = False
    activation: Activation = "relu"
    passes: int = field(default=1, metadata=VARIES)
    eval_passes: int | None = None
    inner_lr: float = field(default=0.01, metadata=VARIES)
    second_order: bool = True
    clip: float | None = None
    loss_on: Literal["last", "every"] = "last"

    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "authors": {"clip": 10.0}}

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "passes", "eval_passes", "inner_lr", "clip")
        if any(width < 1 for width in self.base_widths):
            problems.add("base_widths", f"must be widths >= 1, got {list(self.base_widths)}")


class MAML(Learner[MAMLConfig, Fast, Fast]):
    """A network all of whose weights, batch norm's included, take gradient steps on the support set."""

    name = "maml"
    config_class = MAMLConfig

    def init(self, config: MAMLConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone and the fully-connected network; hidden biases start at zero, the rest as PyTorch's."""
        widths = (feature_count(config.backbone, self.shape.x), *config.base_widths, self.shape.d_y)
        network = init_fully_connected(widths, generator, norm=config.batch_norm)
        return init_backbone(config.backbone, self.shape.x, generator) | network

    def constants(self, config: MAMLConfig) -> Scalars:
        """The step size."""
        return {"inner_lr": torch.tensor(config.inner_lr)}

    def begin(self, params: Params, support: Batch) -> Fast:
        """The initial weights, for every task its own."""
        tasks = support.task_count
        return {name: per_task(param, tasks).contiguous() for name, param in params.items() if name != "inner_lr"}

    def one_pass(self, params: Params, support: Batch, state: Fast) -> Fast:
        """The weights after a gradient step on the mean loss of the whole support set."""

        def support_loss(weights: TaskWeights) -> PerTask:
            return task_losses(self._forward(weights, support.support_x), support.support_y, self.shape.loss)

        config = self.config
        return gradient_step(
            support_loss, state, params["inner_lr"], second_order=config.second_order, clip=config.clip
        )

    def fast(self, state: Fast) -> Fast:
        """All of it."""
        return state

    def predict(self, params: Params, fast: Fast, query_x: Queries) -> Predictions:
        """The network with its adapted weights."""
        return self._forward(fast, query_x)

    def _forward(self, weights: TaskWeights, x: Inputs) -> Annotated[Tensor, Shape("R B M d_y")]:
        config = self.config
        x = features(config.backbone, weights, x)
        return fully_connected(weights, x, layers=len(config.base_widths) + 1, activation=config.activation)
