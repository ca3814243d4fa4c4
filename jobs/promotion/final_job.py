"""The job of a final run: the promoted configuration over several seeds."""

from jobs.jobfile.resolving import final_budget
from jobs.jobfile.schema import Job
from jobs.store.trial import Trial


def final_job(job: Job, winner: Trial, *, seeds: int | None = None) -> Job:
    """The job that trains the winner's configuration over ``seeds`` seeds."""
    configuration = winner.config.configuration()
    del configuration["learner"]
    count = seeds or job.final.seeds
    return Job.model_validate(
        {
            "description": f"Final run of {winner.name}, promoted by meta-validation.",
            "plugins": job.plugins,
            "learner": job.learner,
            "benchmark": winner.run["benchmark"],
            "fixed": {k: list(v) if isinstance(v, tuple) else v for k, v in configuration.items()},
            "seeds": count,
            "seed": job.seed,
            "budget": final_budget(job),
            "resources": {"cpus": job.final.cpus, "gpus": job.final.gpus, "retries": job.resources.retries},
            "final": job.final.model_dump(),
        }
    )
