"""The sections of a job file."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from oplstm.limits import LARGEST, LONGEST

MOST_RUNS = 1_000
"""Side by side: of one pack, and seeds of one configuration."""


def _limits(*names: str) -> dict[str, Any]:
    """The limits of keys whose meaning is not said here, for a JSON schema: it is all that one can say of them."""
    limits = {name: {"maximum": LARGEST[name]} for name in names}
    lists = {name: {"maxItems": LONGEST, "items": limits[name]} for name in names if name in LISTS}
    return {"properties": {**limits, **lists}}


LISTS = ("widths", "base_widths", "cells")
LIMITS_OF_BUDGETS = _limits("tasks", "updates", "validate_every", "validation_tasks", "test_tasks", "max_hours")
LIMITS_OF_BENCHMARKS = _limits("ways", "train_ways", "shots", "train_shots", "queries")
LIMITS_OF_RUNS = _limits("passes", "eval_passes", "meta_batch_size", *LISTS)


class Section(BaseModel):
    """Part of a job file: no other keys, no values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sampler(Section):
    """Which Optuna sampler proposes configurations: any by name, or ``grid``."""

    name: str = Field(default="RandomSampler", description="Of a class of `optuna.samplers`, or grid")
    options: dict[str, Any] = Field(default={}, description="Its arguments by name")


class Pruner(Section):
    """Which Optuna pruner ends weak trials early, and the patience that guards late starters."""

    name: str | None = Field(default=None, description="Of a class of `optuna.pruners`; null prunes nothing")
    options: dict[str, Any] = Field(default={}, description="Its arguments by name; steps are in the budget's unit")
    patience: int | None = Field(
        default=3, ge=0, le=100_000, description="Points without improvement before a run may be pruned"
    )


def _pack_size(value: Any) -> Any:
    if type(value) is int and value > MOST_RUNS:
        raise PydanticCustomError("pack_size", f"must be <= {MOST_RUNS}")
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("pack_size", "must be a whole number >= 1 or auto")


PackSize = Annotated[Annotated[int, Field(ge=1, le=MOST_RUNS)] | Literal["auto"], BeforeValidator(_pack_size)]
Cpus = Annotated[int, Field(ge=1, le=4_096)]
Gpus = Annotated[float, Field(ge=0.0, le=1_024.0, allow_inf_nan=False)]


class Resources(Section):
    """What one pack gets, and how many runs it holds."""

    cpus: Cpus = Field(default=1, description="CPU cores, and threads, a pack")
    gpus: Gpus = Field(default=0.0, description="GPUs a pack; a fraction shares one")
    pack: PackSize = Field(default=1, description="Runs of one signature trained side by side; auto: as many as pay")
    retries: int = Field(default=2, ge=0, le=100, description="Restarts of a pack whose process died")


REPLICATED_FROM = 10
"""Completed trials from which on a sweep's leaders are replicated unless its job says otherwise."""


class Replicates(Section):
    """More seeds of the leading configurations, trained before one of them is picked."""

    leaders: int = Field(default=5, ge=2, le=1_000, description="How many configurations")
    seeds: int = Field(default=2, ge=1, le=100, description="More seeds of each")
    race: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        description="Instead: one more seed at a time for those that are still tied with the best, so many in all",
    )


def _replicates(value: Any) -> Any:
    if value is None or isinstance(value, dict | Replicates) or (type(value) is int and value == 0):
        return value
    raise PydanticCustomError("replicates", "must be keys and values, or 0 for none")


class Promotion(Section):
    """How the best configuration is picked from the sweep's leaders."""

    leaders: int = Field(default=5, ge=1, le=1_000, description="At most this many candidates are re-scored")
    replicates: Annotated[Replicates | Literal[0] | None, BeforeValidator(_replicates)] = Field(
        default=None,
        description="More seeds of the leading configurations; 0: none. "
        f"Default: 2 of each of 5 where at least {REPLICATED_FROM} trials have completed",
    )
    tasks: int = Field(
        default=4000, ge=2, le=LARGEST["test_tasks"], description="Fresh validation tasks in each of the blocks A and B"
    )


class Final(Section):
    """The final run of the promoted configuration."""

    seeds: int = Field(default=3, ge=1, le=MOST_RUNS, description="Runs of the configuration")
    budget: dict[str, Any] = Field(
        default={}, description="Replaces keys of the sweep's budget", json_schema_extra=LIMITS_OF_BUDGETS
    )
    cpus: Cpus = Field(default=1, description="CPU cores, and threads, a pack of them")
    gpus: Gpus = Field(default=0.0, description="GPUs a pack of them")
