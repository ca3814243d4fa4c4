"""More seeds of a sweep's leading configurations: which of them are still to be asked for."""

from collections.abc import Mapping

from jobs.jobfile.resolving import replicated
from jobs.jobfile.schema import Job
from jobs.store.events import Replicated
from jobs.store.names import trial_name
from jobs.store.state import SweepState


def replicates_to_come(job: Job, state: SweepState, wanted: Mapping[int, int]) -> list[Replicated]:
    """The replicates that trials lack.

    Args:
        job: Of the sweep.
        state: Of the sweep.
        wanted: How many replicates each trial should have in all, by its number.
    """
    return [
        Replicated(
            trial=number,
            replicate=one,
            run=replicated(job, state.trials[number].config, number=number, replicate=one).to_dict(),
        )
        for number, count in wanted.items()
        for one in range(1, count + 1)
        if trial_name(number, one) not in state.replicates
    ]
