"""The contract of a learner (DESIGN section 5): pure functions of parameters and data on the axes (R, B, ...)."""

import dataclasses
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from oplstm.configuration import Configuration
from oplstm.episodes.episode import Episode

Params = Mapping[str, Tensor]
"""Named tensors of a pack, each ``(R, ...)``."""

ConfigT = TypeVar("ConfigT", bound=Configuration)

REAL = {"real": True}
"""Field metadata of real-valued hyperparameters: runs of one pack may differ in them."""


class Learner(ABC, Generic[ConfigT]):
    """A few-shot learning method.

    A learner object serves a whole pack: it is built from the static part of the configuration, which all runs of the
    pack share. What differs between runs (weights, real-valued hyperparameters) is in ``params``.

    Args:
        config: Any run's configuration; only its static fields are used by ``passes`` and ``predict``.
        d_x: Features of an input.
        d_y: Features of a target.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[Any]]

    def __init__(self, config: ConfigT, d_x: int, d_y: int) -> None:
        self.config, self.d_x, self.d_y = config, d_x, d_y

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
        """Predictions ``(R, B, Q, d_y)`` for the queries ``(R, B, Q, d_x)``."""

    @property
    def loss_on_every_pass(self) -> bool:
        """Whether training averages the query loss over all passes instead of taking the last one's."""
        return bool(getattr(self.config, "loss_on", "last") == "every")


def signature(config: Configuration) -> Hashable:
    """The static fields of a configuration: what runs must have in common to share a pack."""
    static = (f.name for f in dataclasses.fields(config) if not f.metadata.get("real"))
    return type(config).__name__, tuple((name, getattr(config, name)) for name in static)
