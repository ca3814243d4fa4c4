"""The contract of a learner (DESIGN section 5): pure functions of parameters and data on the axes (R, B, ...)."""

import dataclasses
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from oplstm.configuration import Configuration, Problems
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.episode import Episode, TaskShape
from oplstm.nets.backbone import Backbone, fits

Params = Mapping[str, Tensor]
"""Named tensors of a pack, each ``(R, ...)``."""

ConfigT = TypeVar("ConfigT", bound=Configuration)

REAL = {"real": True}
"""Field metadata of real-valued hyperparameters: runs of one pack may differ in them."""


class Learner(ABC, Generic[ConfigT]):
    """A few-shot learning method.

    A learner object serves a whole pack: it is built from the static part of the configuration, which all runs of the
    pack share. What differs between runs (weights, real-valued hyperparameters) is in ``params``.

    Where gradients are disabled (meta-validation, meta-test, prediction), a learner adapts as at test time and builds
    no meta-gradient graph.

    Args:
        config: Any run's configuration; only its static fields are used by ``passes`` and ``predict``.
        shape: Of the tasks.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Any]]
    any_way: ClassVar[bool] = False
    """Whether the number of classes may differ between meta-training and meta-test."""

    def __init__(self, config: ConfigT, shape: TaskShape) -> None:
        self.config, self.shape = config, shape

    @classmethod
    def check_benchmark(cls, config: ConfigT, benchmark: Benchmark, problems: Problems) -> None:
        """Record what of ``config`` does not go with the benchmark."""
        backbone: Backbone = getattr(config, "backbone", "none")
        if not fits(backbone, benchmark.shape.x):
            problems.add("backbone", f"{backbone} wants images of at least 16 x 16, and {benchmark.name} has none")

    @abstractmethod
    def init(self, config: ConfigT, generator: torch.Generator) -> dict[str, Tensor]:
        """Trained parameters of one run, float32 on the CPU and without the R axis."""

    def constants(self, config: ConfigT) -> dict[str, Tensor]:
        """Real-valued hyperparameters of one run that enter the forward pass and are not trained, as scalars."""
        return {}

    @abstractmethod
    def passes(self, params: Params, support: Episode) -> Iterator[Any]:
        """The task-adapted ("fast") state after each of the T passes over the support set."""

    def adapt(self, params: Params, support: Episode) -> Any:
        """The task-adapted state after the last pass. The query set of ``support`` is not looked at."""
        return deque(self.passes(params, support), maxlen=1).pop()

    @abstractmethod
    def predict(self, params: Params, fast: Any, query_x: Tensor) -> Tensor:
        """Predictions ``(R, B, Q, d_y)`` for the queries ``(R, B, Q, *x)``: values, or logits of classes."""

    @property
    def loss_on_every_pass(self) -> bool:
        """Whether training averages the query loss over all passes instead of taking the last one's."""
        return bool(getattr(self.config, "loss_on", "last") == "every")


def signature(config: Configuration) -> Hashable:
    """The static fields of a configuration: what runs must have in common to share a pack."""
    static = (f.name for f in dataclasses.fields(config) if not f.metadata.get("real"))
    return type(config).__name__, tuple((name, getattr(config, name)) for name in static)
