"""The contract of a learner (DESIGN section 5): pure functions of parameters and data on the axes (R, B, ...)."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
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

VARIES = {"varies": True}
"""Field metadata of hyperparameters in which runs of one pack may differ: the real-valued ones, and T."""


class Learner(ABC, Generic[ConfigT]):
    """A few-shot learning method.

    A learner object serves a whole pack: it is built from the static part of the configuration, which all runs of the
    pack share. What differs between runs is in ``params`` (weights, real-valued hyperparameters) and in the number of
    passes that each makes.

    Where gradients are disabled (meta-validation, meta-test, prediction), a learner adapts as at test time and builds
    no meta-gradient graph.

    Args:
        config: Any run's configuration; T is its own where no other is given, of the rest only static fields are used.
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
    def begin(self, params: Params, support: Episode) -> Any:
        """The state before the first pass: tensors ``(R, ...)`` in lists, tuples and dictionaries."""

    @abstractmethod
    def one_pass(self, params: Params, support: Episode, state: Any) -> Any:
        """The state after one more pass over the support set."""

    def fast(self, state: Any) -> Any:
        """What of the state ``predict`` needs: the task-adapted ("fast") state, of the same structure."""
        return state

    @classmethod
    def pass_count(cls, config: ConfigT, *, training: bool) -> int:
        """T of a run with this configuration."""
        later = None if training else getattr(config, "eval_passes", None)
        return int(getattr(config, "passes", 1) if later is None else later)

    def passes(self, params: Params, support: Episode, counts: Sequence[int] | None = None) -> Iterator[Any]:
        """The fast state after each pass over the support set, of the runs that make it.

        Args:
            params: Of the pack.
            support: Its support sets. The query sets are not looked at.
            counts: T of each run, none larger than the one before: runs that are through are cut off the end, and
                cost no more. None: all as in the learner's own configuration.
        """
        counts = self._counts(support, counts)
        state = self.begin(params, support)
        active = len(counts)
        for done in range(counts[0]):
            left = _longer(counts, done)
            if left < active:
                state, params = rows_of(state, 0, left), rows_of(params, 0, left)
                support, active = support.runs(0, left), left
            state = self.one_pass(params, support, state)
            yield self.fast(state)

    def adapt(self, params: Params, support: Episode, counts: Sequence[int] | None = None) -> Any:
        """The fast state of every run after its last pass; see ``passes``."""
        counts = self._counts(support, counts)
        finished = []
        for done, fast in enumerate(self.passes(params, support, counts), start=1):
            left, active = _longer(counts, done), _longer(counts, done - 1)
            if left < active:
                finished.append(rows_of(fast, left, active))
        return joined_rows(finished[::-1])

    def _counts(self, support: Episode, counts: Sequence[int] | None) -> Sequence[int]:
        own = self.pass_count(self.config, training=torch.is_grad_enabled())
        return [own] * len(support.support_y) if counts is None else counts

    @abstractmethod
    def predict(self, params: Params, fast: Any, query_x: Tensor) -> Tensor:
        """Predictions ``(R, B, Q, d_y)`` for the queries ``(R, B, Q, *x)``: values, or logits of classes."""

    @property
    def loss_on_every_pass(self) -> bool:
        """Whether training averages the query loss over all passes instead of taking the last one's."""
        return bool(getattr(self.config, "loss_on", "last") == "every")


def signature(config: Configuration) -> Hashable:
    """The static fields of a configuration: what runs must have in common to share a pack."""
    static = (f.name for f in dataclasses.fields(config) if not f.metadata.get("varies"))
    return type(config).__name__, tuple((name, getattr(config, name)) for name in static)


def _longer(counts: Sequence[int], passes: int) -> int:
    """How many of the runs make more than so many passes."""
    return sum(count > passes for count in counts)


def rows_of(state: Any, start: int, stop: int) -> Any:
    """Runs ``start`` to ``stop`` of a state: of every tensor in it."""
    if isinstance(state, Tensor):
        return state[start:stop]
    return _mapped([state], lambda parts: rows_of(parts[0], start, stop))


def joined_rows(states: Sequence[Any]) -> Any:
    """States of some runs each, of one structure, as the state of all of them."""
    if isinstance(states[0], Tensor):
        return torch.cat(list(states)) if len(states) > 1 else states[0]
    return _mapped(states, joined_rows)


def _mapped(states: Sequence[Any], change: Callable[[Sequence[Any]], Any]) -> Any:
    """A state of the structure of ``states``, its parts made by ``change`` from theirs; other values as they are."""
    first = states[0]
    if isinstance(first, Mapping):
        return {name: change([state[name] for state in states]) for name in first}
    if isinstance(first, list | tuple):
        parts = [change(parts) for parts in zip(*states, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first
