"""Final runs: the promoted configuration over several seeds, in one pack, and its result."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.home import SweepFolder
from jobs.jobfile import Job, final_budget
from jobs.statistics import mean_over_seeds, mean_over_tasks
from jobs.sweep_state import SweepState, Trial
from oplstm.training.checkpoint import load_test_losses
from oplstm.training.run import RunConfig


def final_job(job: Job, winner: Trial, *, seeds: int | None = None) -> Job:
    """The job that trains the winner's configuration over ``seeds`` seeds as one pack."""
    configuration = RunConfig.from_dict(winner.run).configuration()
    del configuration["learner"]
    count = seeds or job.final.seeds
    return Job.model_validate(
        {
            "description": f"Final run of {winner.name}, promoted by meta-validation.",
            "learner": job.learner,
            "benchmark": job.benchmark,
            "fixed": {k: list(v) if isinstance(v, tuple) else v for k, v in configuration.items()},
            "seeds": count,
            "seed": job.seed,
            "budget": final_budget(job),
            "resources": {"cpus": job.final.cpus, "gpus": job.final.gpus, "pack": count},
            "final": job.final.model_dump(),
        }
    )


@dataclass(frozen=True)
class FinalResult:
    """The test result of a final run.

    Attributes:
        mean: Mean test loss over all tasks of all seeds.
        ci95_tasks: Half-width over all test tasks pooled, as in the paper: a claim about these trained weights.
        ci95_seeds: Half-width over the means of the seeds (Student t): a claim about the configuration.
        seed_means: Mean test loss of each seed.
    """

    mean: float
    ci95_tasks: float
    ci95_seeds: float
    seed_means: tuple[float, ...]

    def metrics(self) -> dict[str, float]:
        """As tracked on the final run's parent."""
        named = {
            "final/test_loss": self.mean,
            "final/ci95_tasks": self.ci95_tasks,
            "final/ci95_seeds": self.ci95_seeds,
            "final/seeds": float(len(self.seed_means)),
        }
        return {name: value for name, value in named.items() if math.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**self.metrics(), "seed_means": list(self.seed_means)}


def final_result(folder: SweepFolder, state: SweepState) -> FinalResult | None:
    """The result of a final run, or None while a seed is missing."""
    trials = list(state.trials.values())
    if not trials or any(trial.state != "complete" for trial in trials):
        return None
    losses = [load_test_losses(folder.trials / trial.name).numpy() for trial in trials]
    means = [float(of_seed.mean()) for of_seed in losses]
    pooled = mean_over_tasks(np.concatenate(losses))
    return FinalResult(pooled.mean, pooled.half_width, mean_over_seeds(means).half_width, tuple(means))
