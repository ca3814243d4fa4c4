"""What makes a sweep larger than its job said at first: one of its events (``jobs.store.events``)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StrictInt, ValidationError

from jobs.jobfile.schema import Job
from jobs.store.names import MOST_TRIALS, TrialName
from oplstm.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A sweep is to do more than its job said; the job in its header is written anew, and says so from then on.

    Attributes:
        trials: Trials in all; of a job without a space, seeds in all. None: as many as before.
        budget: Of a run in all, in the unit of the job's. None: as long as before.
        goes_on: Names of the trials, all complete, that go on to it from where they ended, in new packs.
    """

    event: Literal["extended"] = "extended"
    trials: Annotated[StrictInt, Field(ge=1, le=MOST_TRIALS)] | None
    budget: Annotated[StrictInt, Field(ge=1, lt=2**53)] | None
    goes_on: tuple[TrialName, ...]

    def of(self, job: Job) -> Job:
        """A job with what it is extended to.

        Raises:
            RequestError: It is more than a job may ask for.
        """
        more: dict[str, object] = {}
        if self.trials is not None:
            more["seeds" if job.space is None else "trials"] = self.trials
        if self.budget is not None:
            more["budget"] = job.budget | {unit_of(job): self.budget}
        try:
            return Job.model_validate(job.model_dump() | more)
        except ValidationError as error:
            [first, *_] = error.errors(include_url=False)
            raise RequestError(f"{first['loc'][0]}: {first['msg']}, got {first['input']}") from error


def unit_of(job: Job) -> str:
    """The unit of a job's budget."""
    return "updates" if job.budget.get("tasks") is None else "tasks"


def extended_job(job: Job, extensions: Iterable[Extended]) -> Job:
    """A job with all that its sweep was extended to: itself, where it is that of a header which was written since.

    Raises:
        RequestError: It is more than a job may ask for.
    """
    for extension in extensions:
        job = extension.of(job)
    return job
