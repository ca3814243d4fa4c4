"""The contract of a learner: pure functions of parameters and data on the axes (R, B, ...)."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import torch
from torch import Tensor

from oplstm.configuration import Configuration, Problems
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.episode import Batch
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.rows import joined_rows, rows_of
from oplstm.learners.side_by_side.program import SideBySide, Weights
from oplstm.learners.signature import signature
from oplstm.nets.backbone import Backbone, fits
from oplstm.tensors import Params, PerTask, Predictions, Queries, Scalars

ConfigT = TypeVar("ConfigT", bound=Configuration)
StateT = TypeVar("StateT")
FastT = TypeVar("FastT")


class Learner(ABC, Generic[ConfigT, StateT, FastT]):
    """A few-shot learning method, of a configuration, a state between passes and a task-adapted ("fast") state.

    States are tensors whose first axis is R, in lists, tuples, named tuples and dictionaries.

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
    config_class: ClassVar[type[Configuration]]
    any_way: ClassVar[bool] = False
    """Whether the number of classes may differ between meta-training and meta-test."""
    analyses: ClassVar[tuple[str, ...]] = ("permutation_variance",)
    """Those of ``oplstm.analysis.registry`` that it supports."""

    def __init__(self, config: ConfigT, shape: TaskShape) -> None:
        self.config, self.shape = config, shape

    @classmethod
    def check_benchmark(cls, config: ConfigT, benchmark: Benchmark, problems: Problems) -> None:
        """Record what of ``config`` does not go with the benchmark."""
        backbone: Backbone = getattr(config, "backbone", "none")
        if not fits(backbone, benchmark.shape.x):
            problems.add("backbone", f"{backbone} wants images of at least 16 x 16, and {benchmark.name} has none")

    @classmethod
    def conventions_on(cls, benchmark: Benchmark) -> dict[str, dict[str, Any]]:
        """What conventions set on this benchmark beside ``config_class.conventions``, by convention."""
        return {}

    @classmethod
    def family(cls, config: ConfigT) -> Hashable:
        """What runs must have in common to share a pack: nothing but the learner, with a backbone the static fields."""
        return () if getattr(config, "backbone", "none") == "none" else signature(config)

    @classmethod
    def side_by_side(
        cls,
        configs: Sequence[ConfigT],
        tasks: Sequence[int],
        *,
        shape: TaskShape,
        params: Sequence[Weights],
        grads: Sequence[Weights],
    ) -> SideBySide | None:
        """A program for runs of one family that differ in static fields or B.

        None where there is none: then runs that differ in static fields are trained kind by kind.

        Args:
            configs: One a run, none with more passes than the one before.
            tasks: B of each run.
            shape: Of the tasks.
            params: Of each run; they are read anew in every call.
            grads: Of each run, where the gradients are added.
        """
        return None

    @abstractmethod
    def init(self, config: ConfigT, generator: torch.Generator) -> dict[str, Tensor]:
        """Trained parameters of one run, float32 on the CPU and without the R axis."""

    def constants(self, config: ConfigT) -> Scalars:
        """Real-valued hyperparameters of one run that enter the forward pass and are not trained."""
        return {}

    @property
    def node_units(self) -> int:
        """Units that an example passes through in one pass beyond those that have weights of their own."""
        return 0

    @abstractmethod
    def begin(self, params: Params, support: Batch) -> StateT:
        """The state before the first pass."""

    @abstractmethod
    def one_pass(self, params: Params, support: Batch, state: StateT) -> StateT:
        """The state after one more pass over the support set."""

    @abstractmethod
    def fast(self, state: StateT) -> FastT:
        """What of the state after a pass ``predict`` needs."""

    @classmethod
    def pass_count(cls, config: ConfigT, *, training: bool) -> int:
        """T of a run with this configuration."""
        later = None if training else getattr(config, "eval_passes", None)
        return int(getattr(config, "passes", 1) if later is None else later)

    def passes(self, params: Params, support: Batch, counts: Sequence[int] | None = None) -> Iterator[FastT]:
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

    def adapt(self, params: Params, support: Batch, counts: Sequence[int] | None = None) -> FastT:
        """The fast state of every run after its last pass; see ``passes``."""
        counts = self._counts(support, counts)
        finished = []
        for done, fast in enumerate(self.passes(params, support, counts), start=1):
            left, active = _longer(counts, done), _longer(counts, done - 1)
            if left < active:
                finished.append(rows_of(fast, left, active))
        return joined_rows(finished[::-1])

    def _counts(self, support: Batch, counts: Sequence[int] | None) -> Sequence[int]:
        own = self.pass_count(self.config, training=torch.is_grad_enabled())
        return [own] * len(support.support_y) if counts is None else counts

    @abstractmethod
    def predict(self, params: Params, fast: FastT, query_x: Queries) -> Predictions:
        """Predictions for the queries: values, or logits of classes."""

    def loss_beside(self, fast: FastT) -> PerTask | None:
        """What of each task training adds to the query loss of its last pass; None for nothing."""
        return None

    @property
    def sums_passes(self) -> bool:
        """Whether a loss on every pass is the sum over passes instead of the mean."""
        return False

    @property
    def loss_on_every_pass(self) -> bool:
        """Whether training averages the query loss over all passes instead of taking the last one's."""
        return bool(getattr(self.config, "loss_on", "last") == "every")


def _longer(counts: Sequence[int], passes: int) -> int:
    """How many of the runs make more than so many passes."""
    return sum(count > passes for count in counts)


AnyLearner: TypeAlias = Learner[Any, Any, Any]
"""A learner for those who do not look into its states."""
