"""What makes a sweep larger than its job said at first: one of its events (``jobs.store.events``)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StrictInt, ValidationError

from jobs.jobfile.schema import Job
from jobs.store.names import MOST_TRIALS
from oplstm.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A sweep is to do more than its job said; the job in its header is written anew, and says so from then on.

    Attributes:
        trials: Trials in all; of a job without a space, seeds in all. None: as many as before.
    """

    event: Literal["extended"] = "extended"
    trials: Annotated[StrictInt, Field(ge=1, le=MOST_TRIALS)] | None

    def of(self, job: Job) -> Job:
        """A job with what it is extended to.

        Raises:
            RequestError: It is more than a job may ask for.
        """
        more = {} if self.trials is None else {"seeds" if job.space is None else "trials": self.trials}
        try:
            return Job.model_validate(job.model_dump() | more)
        except ValidationError as error:
            [first, *_] = error.errors(include_url=False)
            raise RequestError(f"{first['loc'][0]}: {first['msg']}, got {first['input']}") from error


def extended_job(job: Job, extensions: Iterable[Extended]) -> Job:
    """A job with all that its sweep was extended to: itself, where it is that of a header which was written since.

    Raises:
        RequestError: It is more than a job may ask for.
    """
    for extension in extensions:
        job = extension.of(job)
    return job
