"""What is hurt: two small sweeps of which each trial takes a second or two, and the promotion of their
winner with replicates and a final run.

What becomes of a trial must not depend on when things happen, or an unbroken run would be no measure. So the random
search has one trial a pack, and its slots may run as they like; the packs of the grid, whose trials share their
rounding, come one after the other; and a pruner of thresholds looks at no other trial.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SEEDS: Final = 2
BUDGET: Final = {"validate_every": 300, "validation_tasks": 20, "test_tasks": 20}
PRUNER: Final = {"name": "ThresholdPruner", "options": {"upper": 3.6, "n_warmup_steps": 3000}, "patience": None}
PROMOTION: Final = {"replicates": {"leaders": 2, "seeds": 1}}
MOST_RETRIES: Final = 100
"""So that no trial is given up, however often its process is killed."""


@dataclass(frozen=True)
class Workload:
    """A sweep and the promotion that follows.

    Attributes:
        name: Of the sweep.
        slots: CPUs of its cluster, whatever this machine has.
        job: Keys of its job file, in place of those of ``command_line.TINY``.
    """

    name: str
    slots: int
    job: Mapping[str, Any]


def _job(tasks: int = 6000, **changes: Any) -> dict[str, Any]:
    return {
        "budget": {**BUDGET, "tasks": tasks},
        "pruner": PRUNER,
        "promotion": PROMOTION,
        "final": {"seeds": SEEDS, "cpus": 1},
        **changes,
    }


RANDOM: Final = Workload(
    "random",
    slots=2,
    job=_job(
        space="tests.chaos.spaces:rates",
        trials=5,
        enqueue=[
            {"hidden": 8, "meta_batch_size": 4, "lr": 0.01},
            {"hidden": 4, "meta_batch_size": 3, "lr": 1e-6},
        ],
        resources={"cpus": 1, "pack": 1, "retries": MOST_RETRIES},
    ),
)  # fmt: skip
GRID: Final = Workload(
    "grid",
    slots=1,
    job=_job(
        space="tests.chaos.spaces:cells",
        sampler={"name": "grid"},
        trials=50,
        resources={"cpus": 1, "pack": 2, "retries": MOST_RETRIES},
    ),
)
WORKLOADS: Final = (RANDOM, GRID)
SHORT: Final = Workload("random", slots=2, job={**RANDOM.job, **_job(tasks=3600), "trials": 3})
"""What the slow tier of the tests takes."""
