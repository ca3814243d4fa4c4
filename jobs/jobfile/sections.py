"""The sections of a job file."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """Part of a job file: no other keys, no values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sampler(Section):
    """Which Optuna sampler proposes configurations: any by name, or ``grid``."""

    name: str = "RandomSampler"
    options: dict[str, Any] = {}


class Pruner(Section):
    """Which Optuna pruner ends weak trials early, and the patience that guards late starters."""

    name: str | None = None
    options: dict[str, Any] = {}
    patience: int | None = Field(default=3, ge=0, description="Points without improvement before a run may be pruned")


def _pack_size(value: Any) -> Any:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("pack_size", "must be a whole number >= 1 or auto")


PackSize = Annotated[Annotated[int, Field(ge=1)] | Literal["auto"], BeforeValidator(_pack_size)]


class Resources(Section):
    """What one pack gets, and how many runs it holds."""

    cpus: int = Field(default=1, ge=1, description="CPU cores, and threads, a pack")
    gpus: float = Field(default=0.0, ge=0.0, allow_inf_nan=False, description="GPUs a pack; a fraction shares one")
    pack: PackSize = Field(default=1, description="Runs of one signature trained side by side; auto: as many as pay")
    retries: int = Field(default=2, ge=0, description="Restarts of a pack whose process died")


class Promotion(Section):
    """How the best configuration is picked from the sweep's leaders."""

    leaders: int = Field(default=5, ge=1, description="At most this many candidates are re-scored")
    tasks: int = Field(default=4000, ge=2, description="Fresh validation tasks in each of the blocks A and B")


class Final(Section):
    """The final run of the promoted configuration."""

    seeds: int = Field(default=3, ge=1)
    budget: dict[str, Any] = Field(default={}, description="Replaces keys of the sweep's budget")
    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
