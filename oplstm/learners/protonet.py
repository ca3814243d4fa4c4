"""Prototypical networks (Section 5): a query belongs to the class whose mean of support features is nearest.

Snell, Swersky & Zemel (2017), "Prototypical Networks for Few-shot Learning".
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from oplstm.configuration import Problems
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.episode import Batch
from oplstm.learners.learner import Learner
from oplstm.nets.backbone import Backbone, feature_count, features, init_backbone
from oplstm.nets.fully_connected import fully_connected, init_fully_connected
from oplstm.shape import Shape
from oplstm.tensors import Features, Inputs, Params, Predictions, Queries

Prototypes = Annotated[Tensor, Shape("R B N d")]
"""The mean features of every class of an episode."""


@dataclass(frozen=True, kw_only=True)
class ProtoNetConfig:
    """Hyperparameters of prototypical networks. The authors' code divides the loss by a constant; Adam hides it.

    Attributes:
        backbone: What makes the inputs of the fully-connected embedding: nothing, or Conv-4.
        base_widths: Widths of the fully-connected ReLU embedding, all of them hidden layers; none leaves the backbone.
        batch_norm: Normalise its layers, by the statistics of the support or query set at hand.
    """

    backbone: Backbone = "none"
    base_widths: tuple[int, ...] = (256, 128, 64, 64)
    batch_norm: bool = True

    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "authors": {}}

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        if any(width < 1 for width in self.base_widths):
            problems.add("base_widths", f"must be widths >= 1, got {list(self.base_widths)}")
        if not self.base_widths and self.backbone == "none":
            problems.add("base_widths", "must be one or more widths where there is no backbone, got []")


class ProtoNet(Learner[ProtoNetConfig, tuple[Prototypes, ...], Prototypes]):
    """An embedding in which classes lie around the mean of their examples."""

    name = "protonet"
    config_class = ProtoNetConfig
    any_way = True

    @classmethod
    def check_benchmark(cls, config: ProtoNetConfig, benchmark: Benchmark, problems: Problems) -> None:
        """Record what of ``config`` does not go with the benchmark, which must be a classification."""
        super().check_benchmark(config, benchmark, problems)
        if benchmark.shape.loss != "cross_entropy":
            problems.add((), f"prototypes are of classes, and {benchmark.name} has none")

    def init(self, config: ProtoNetConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone and the fully-connected embedding; its biases start at zero, the rest as PyTorch's."""
        widths = (feature_count(config.backbone, self.shape.x), *config.base_widths)
        embedding = init_fully_connected(widths, generator, norm=config.batch_norm, head=False)
        return init_backbone(config.backbone, self.shape.x, generator) | embedding

    def begin(self, params: Params, support: Batch) -> tuple[Prototypes, ...]:
        """No prototypes."""
        return ()

    def one_pass(self, params: Params, support: Batch, state: tuple[Prototypes, ...]) -> tuple[Prototypes, ...]:
        """The only one: the prototypes."""
        members = support.support_y.mT  # (R, B, N, M)
        return (members @ self._embed(params, support.support_x) / members.sum(3, keepdim=True),)  # Snell et al., Eq. 1

    def fast(self, state: tuple[Prototypes, ...]) -> Prototypes:
        """The prototypes."""
        return state[0]

    def predict(self, params: Params, fast: Prototypes, query_x: Queries) -> Predictions:
        """Minus the squared Euclidean distances between queries and prototypes (Snell et al., Eq. 2)."""
        differences = self._embed(params, query_x).unsqueeze(3) - fast.unsqueeze(2)  # (R, B, Q, N, d)
        return -differences.square().sum(4)

    def _embed(self, params: Params, x: Inputs) -> Features:
        config = self.config
        x = features(config.backbone, params, x)
        return fully_connected(params, x, layers=len(config.base_widths), head=False)
