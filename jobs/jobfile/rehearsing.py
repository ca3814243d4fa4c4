"""A sampler and a pruner at work before a job starts: some find out only then that an option is of the wrong type."""

import itertools
import warnings
from collections.abc import Iterator, Sequence

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from jobs.jobfile.resolving import suggest
from jobs.jobfile.schema import Job
from oplstm.configuration import Problems
from oplstm.errors import one_line
from oplstm.training.budget import Budget
from search_spaces.samplers import is_adaptive, make_pruner, make_sampler

PROPOSALS = 3
RESULTS = 12
"""That a sampler is given to learn from; most of Optuna's begin after 10 unless their options say otherwise."""
MOST_RESULTS = 500
"""Of more, a sampler might make something for many seconds."""


def rehearse_sampler(job: Job, drawn: Sequence[FrozenTrial], problems: Problems) -> None:
    """Let the sampler propose, from nothing and from results.

    Args:
        job: The job.
        drawn: Points of its space.
        problems: Takes what the sampler says.
    """
    if any(path == ("sampler",) for path, _ in problems.found):
        return
    try:
        with warnings.catch_warnings(action="ignore"):
            study = optuna.create_study()
            for number in range(PROPOSALS):
                _propose(job, study, number)
            if is_adaptive(job.sampler.name):
                study.add_trials(_results(drawn, _results_wanted(job)))
                _propose(job, study, PROPOSALS)
    except Exception as error:
        problems.add("sampler", f"{job.sampler.name} cannot propose from {job.space}: {one_line(error)}")


def _propose(job: Job, study: optuna.Study, number: int) -> None:
    study.sampler = make_sampler(job.sampler.name, job.sampler.options, seed=job.seed, trial=number)
    trial = study.ask()
    try:
        suggest(job, trial)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, float(number))


def _results_wanted(job: Job) -> int:
    """As many, beside those of the first proposals, as make the sampler learn, if the trials of the job do."""
    startup = job.sampler.options.get("n_startup_trials")
    if type(startup) is not int or job.trial_limit is None:
        return RESULTS
    return max(RESULTS, min(startup + 2, job.trial_limit - 1, MOST_RESULTS) - PROPOSALS)


def _results(drawn: Sequence[FrozenTrial], count: int) -> Iterator[FrozenTrial]:
    for index, trial in enumerate(itertools.islice(itertools.cycle(drawn), count)):
        yield optuna.create_trial(params=trial.params, distributions=trial.distributions, value=float(index))


def rehearse_pruner(job: Job, budget: Budget, problems: Problems) -> None:
    """Let the pruner judge a run at its first two points, beside one that has ended.

    Args:
        job: The job.
        budget: Of its trials.
        problems: Takes what the pruner says.
    """
    if job.pruner.name is None or any(path == ("pruner",) for path, _ in problems.found):
        return
    try:
        with warnings.catch_warnings(action="ignore"):
            pruner = make_pruner(job.pruner.name, job.pruner.options, patience=None)
            study = optuna.create_study(pruner=pruner)
            for _ in range(2):
                trial = study.ask()
                _report(trial, budget)
                study.tell(trial, 1.0)
    except Exception as error:
        problems.add("pruner", f"{job.pruner.name} cannot judge a run: {one_line(error)}")


def _report(trial: Trial, budget: Budget) -> None:
    for point in (1, 2):
        trial.report(1.0, point * budget.validate_every)
        trial.should_prune()
