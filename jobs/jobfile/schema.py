"""A job: what to tune, over which space, with which means. Data alone; its content is checked by ``probing``."""

import json
from typing import Any

from pydantic import Field

from jobs.jobfile.sections import (
    LIMITS_OF_BENCHMARKS,
    LIMITS_OF_BUDGETS,
    LIMITS_OF_RUNS,
    MOST_RUNS,
    Final,
    Promotion,
    Pruner,
    Resources,
    Sampler,
    Section,
)
from jobs.jobfile.yaml_text import LONGEST_TEXT, MOST_ENTRIES
from oplstm.episodes.measure import Measure
from search_spaces.names import GRID

DEFAULT_TRIALS = 20
MOST_TRIALS = 100_000


class Job(Section):
    """A job file: what to tune, over which space, with which means."""

    # ``benchmark``, ``fixed``, ``enqueue`` and ``budget`` are dictionaries because what they may hold is said by the
    # benchmark, the learner and the space, not here.
    version: int = Field(default=1, ge=1, le=1, description="Of the format")
    description: str = Field(
        default="", max_length=LONGEST_TEXT, description="What the job is for; `oplstm jobs` lists it"
    )
    plugins: list[str] = Field(
        default=[],
        max_length=MOST_ENTRIES,
        description="Code of your own that registers learners, benchmarks or spaces: modules, or paths of .py files",
    )
    learner: str = Field(description="The method, by its name")
    benchmark: dict[str, Any] = Field(
        description="Where the tasks come from: its name, and its own keys", json_schema_extra=LIMITS_OF_BENCHMARKS
    )
    fixed: dict[str, Any] = Field(
        default={},
        description="Hyperparameters that do not vary; they win over the space",
        json_schema_extra=LIMITS_OF_RUNS,
    )
    space: str | None = Field(
        default=None,
        description="One that ships, or your own function as package.module:function; null: one configuration",
    )
    sampler: Sampler = Field(default=Sampler(), description="Who proposes configurations")
    pruner: Pruner = Field(default=Pruner(), description="Who ends weak trials early; nobody without a name")
    trials: int | None = Field(default=None, ge=1, le=MOST_TRIALS, description="Default: every cell of a grid, else 20")
    seeds: int = Field(default=1, ge=1, le=MOST_RUNS, description="Without a space: runs of the one configuration")
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Of proposals, of the trials' own seeds, and of the common evaluation tasks",
    )
    first_seed: int = Field(
        default=0, ge=0, le=MOST_TRIALS, description="Which of the seeds that follow from seed the first run has"
    )
    enqueue: list[dict[str, Any]] = Field(
        default=[], max_length=MOST_ENTRIES, description="Points of the space that are tried first"
    )
    budget: dict[str, Any] = Field(
        description="How long a run trains, and how it is validated and tested", json_schema_extra=LIMITS_OF_BUDGETS
    )
    resources: Resources = Field(default=Resources(), description="What one pack gets, and how many runs it holds")
    promotion: Promotion = Field(default=Promotion(), description="How the best configuration is picked")
    final: Final = Field(default=Final(), description="The final run of the promoted configuration")

    @property
    def is_grid(self) -> bool:
        """Whether the space is enumerated."""
        return self.sampler.name == GRID

    @property
    def measure(self) -> Measure:
        """What trials are compared by."""
        from oplstm.episodes.registry import BENCHMARKS  # imports torch, which a job is read without

        return BENCHMARKS[self.benchmark["name"]].measure

    @property
    def trial_limit(self) -> int | None:
        """Trials at most; None for every cell of a grid."""
        if self.space is None:
            return self.seeds
        return self.trials if self.trials is not None or self.is_grid else DEFAULT_TRIALS


def json_schema() -> str:
    """The JSON schema of a job file, for editors."""
    return json.dumps(Job.model_json_schema(), indent=2) + "\n"
