"""What one run is: learner, hyperparameters, benchmark, budget and seed."""

import dataclasses
import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oplstm.configuration import Problems, build, convert, mapping, unknown_key
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import name_of, shown
from oplstm.learners.registry import LEARNERS
from oplstm.learners.signature import signature
from oplstm.limits import over
from oplstm.nets.precision import Precision
from oplstm.training.budget import Budget
from oplstm.training.run_size import check_size

MetaGradient = Literal["mean", "sum"]
OF_EVERY_RUN = ("lr", "lr_half_life", "meta_batch_size", "grad_clip", "meta_gradient", "precision")
"""Hyperparameters of a run that no learner owns."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, fully resolved: what its result depends on, and nothing else.

    Attributes:
        learner: Name of the method.
        hyperparameters: The learner's own configuration.
        benchmark: Where the tasks come from.
        meta_batch_size: B, tasks a meta-update.
        lr: Adam's learning rate.
        lr_half_life: Meta-updates in which the learning rate halves, all the time; None keeps it.
        budget: Training, validation and test.
        seed: Of the initial weights and the training tasks.
        evaluation_seed: Of the validation and test tasks: the sweep's for trials, the run's own for final runs.
        final: Whether this is a final run, whose tasks are disjoint from all that selection used.
        grad_clip: Clamp every number of the meta-gradient to [-grad_clip, grad_clip]; None does not.
        meta_gradient: Of the tasks of a meta-batch: the ``mean``, or the ``sum``, which Adam's epsilon sees less of.
        precision: Of the products in the networks; see ``oplstm.nets.precision``.
    """

    learner: str
    hyperparameters: Any
    benchmark: Any
    meta_batch_size: int
    lr: float
    budget: Budget
    seed: int
    evaluation_seed: int
    final: bool = False
    grad_clip: float | None = None
    meta_gradient: MetaGradient = "mean"
    precision: Precision = "float32"
    lr_half_life: float | None = None

    @property
    def signature(self) -> Hashable:
        """What must be equal for runs to share a pack."""
        alike = signature if self.precision == "bf16" else LEARNERS[self.learner].family
        return self.learner, alike(self.hyperparameters), self.benchmark, self.budget, self.precision

    @property
    def kind(self) -> Hashable:
        """What runs of a pack must have in common for one learner and one layout of weights to serve them."""
        return self.learner, signature(self.hyperparameters)

    def passes(self, *, training: bool) -> int:
        """T of this run."""
        return LEARNERS[self.learner].pass_count(self.hyperparameters, training=training)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; ``from_dict`` reads it back."""
        data = dataclasses.asdict(self) | {"benchmark": self._benchmark_dict()}
        if self.lr_half_life is None:  # as before there was one: what was written then has the same digest
            del data["lr_half_life"]
        return json.loads(json.dumps(data))  # type: ignore[no-any-return]

    def _benchmark_dict(self) -> dict[str, Any]:
        return {"name": self.benchmark.name, **dataclasses.asdict(self.benchmark)}

    def configuration(self) -> dict[str, Any]:
        """What was searched over, flat: the configuration without seeds, budget and benchmark."""
        return {
            "learner": self.learner,
            **{name: getattr(self, name) for name in OF_EVERY_RUN},
            **dataclasses.asdict(self.hyperparameters),
        }

    def digest(self) -> str:
        """SHA-256 of the whole configuration, seeds included."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> "RunConfig":
        """The run that ``to_dict`` wrote.

        Raises:
            ValueError: The data do not describe a run; every problem is named.
        """
        problems = Problems()
        run = build_run(data, problems)
        if run is None:
            raise ValueError("; ".join(problems.lines()))
        return run


RUN_KEYS = tuple(f.name for f in dataclasses.fields(RunConfig))


def build_run(data: Mapping[str, Any], problems: Problems) -> RunConfig | None:
    """A run from plain data, or None after recording every problem with its place."""
    before = len(problems.found)
    for key in data:
        if key not in RUN_KEYS:
            problems.add(str(key), unknown_key(name_of(key), RUN_KEYS))
    hyperparameters = None
    of_benchmark = Problems(problems.prefix)
    benchmark = _build_benchmark(data, of_benchmark)
    learner = data.get("learner")
    if isinstance(learner, str) and learner in LEARNERS:
        given = mapping(data.get("hyperparameters"), "hyperparameters", problems)
        method = LEARNERS[learner]
        further = {} if benchmark is None else method.conventions_on(benchmark)
        hyperparameters = build(method.config_class, given, problems.below("hyperparameters"), further=further)
    else:
        problems.add("learner", unknown_key(name_of(learner), LEARNERS))
    problems.found += of_benchmark.found
    budget = build(Budget, mapping(data.get("budget"), "budget", problems), problems.below("budget"))
    values = {key: _plain(data, key, problems) for key in _PLAIN}
    if hyperparameters is not None and benchmark is not None:
        LEARNERS[str(learner)].check_benchmark(hyperparameters, benchmark, problems.below("hyperparameters"))
        for analysis in budget.analyses if budget else ():
            if analysis not in LEARNERS[str(learner)].analyses:
                able = ", ".join(name for name, other in LEARNERS.items() if analysis in other.analyses)
                message = f"{analysis} is an analysis of {able or 'no learner'}, got {learner}"
                problems.add(("budget", "analyses"), message)
        if getattr(benchmark, "train_ways", None) and not LEARNERS[str(learner)].any_way:
            problems.add(("benchmark", "train_ways"), f"{learner} has one output a class: leave it out")
    if len(problems.found) == before and hyperparameters is not None and benchmark is not None:
        check_size(str(learner), hyperparameters, benchmark=benchmark, problems=problems.below("hyperparameters"))
    if len(problems.found) > before or hyperparameters is None or benchmark is None or budget is None:
        return None
    return RunConfig(
        learner=str(learner),
        hyperparameters=hyperparameters,
        benchmark=benchmark,
        budget=budget,
        **values,
    )


def _build_benchmark(data: Mapping[str, Any], problems: Problems) -> Any:
    """The benchmark of a run, or None after recording every problem."""
    given = mapping(data.get("benchmark"), "benchmark", problems)
    name = given.pop("name", None)
    if isinstance(name, str) and name in BENCHMARKS:
        return build(BENCHMARKS[name], given, problems.below("benchmark"))
    problems.add(("benchmark", "name"), unknown_key(name_of(name), BENCHMARKS))
    return None


_REQUIRED: Any = object()
_PLAIN: dict[str, tuple[Any, float | None, Any]] = {
    "meta_batch_size": (int, 1, _REQUIRED),
    "lr": (float, 0, _REQUIRED),
    "lr_half_life": (float | None, 0, None),
    "seed": (int, 0, _REQUIRED),
    "evaluation_seed": (int, 0, _REQUIRED),
    "final": (bool, 0, False),
    "grad_clip": (float | None, 0, None),
    "meta_gradient": (MetaGradient, None, "mean"),
    "precision": (Precision, None, "float32"),
}
"""Type, lower bound (exclusive for real numbers), if any, and default of a run's own values."""


def _plain(data: Mapping[str, Any], key: str, problems: Problems) -> Any:
    kind, low, default = _PLAIN[key]
    if key not in data and default is _REQUIRED:
        problems.add(key, "is required")
        return None
    try:
        value = convert(data.get(key, default), kind)
    except ValueError as error:
        problems.add(key, str(error))
        return None
    if value is None or low is None:
        return value
    if (problem := over(key, value)) is not None and "seed" not in key:
        problems.add(key, problem)
    elif isinstance(value, float) and value <= low:
        problems.add(key, f"must be > {low:g}, got {value:g}")
    elif value < low:
        problems.add(key, f"must be >= {low:g}, got {shown(value)}")
    elif "seed" in key and value >= 2**63:
        problems.add(key, f"must be below 2^63, got {value}")
    return value
