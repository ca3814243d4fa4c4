"""A point of a space that a person gives: every fault of it at once, a line each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution

from jobs.jobfile.resolving import Suggested, build_trial_run, pins, run_data, suggest
from jobs.jobfile.schema import Job
from oplstm.configuration import Problems, unknown_key
from oplstm.errors import RequestError, one_line, shown
from oplstm.training.run import RunConfig, build_run
from search_spaces.enumeration import Distribution, RecordingTrial

_MISSING: Final = object()


@dataclass(frozen=True)
class Point:
    """A point of a space.

    Attributes:
        params: Its values by name.
        suggested: The configuration that it means.
    """

    params: dict[str, Any]
    suggested: Suggested


class _GivenTrial(RecordingTrial):
    """Takes the values that are given; for one that is missing or impossible a stand-in, after recording the fault.

    Args:
        given: Values by name.
        problems: Takes the faults.
    """

    def __init__(self, given: Mapping[str, Any], problems: Problems) -> None:
        super().__init__(lambda position, size: 0)
        self._given, self._problems = given, problems

    def _suggest(self, name: str, distribution: Distribution) -> Any:
        if name not in self._params:
            value, fault = _taken(self._given.get(name, _MISSING), distribution)
            if fault is not None:
                self._problems.add(name, fault)
            self._params[name], self._distributions[name] = value, distribution
        return self._params[name]


def _taken(value: Any, distribution: Distribution) -> tuple[Any, str | None]:
    """A value as Optuna would give it, or a stand-in and what is wrong."""
    stand_in = distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.low
    if value is _MISSING:
        return stand_in, f"is required, {_wanted(distribution)}"
    try:
        if isinstance(value, bool) and not isinstance(distribution, CategoricalDistribution):
            raise ValueError("a truth value is no number")
        taken = distribution.to_external_repr(distribution.to_internal_repr(value))
        if isinstance(distribution, IntDistribution) and taken != float(value):
            raise ValueError("no whole number")
        # Optuna's own check of a value by its distribution
        optuna.trial.create_trial(value=0.0, params={"it": taken}, distributions={"it": distribution})
    except (ValueError, TypeError, OverflowError):
        return stand_in, f"must be {_wanted(distribution)}, got {shown(value)}"
    return taken, None


def _wanted(distribution: Distribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {', '.join(map(shown, distribution.choices))}"
    whole = "a whole number" if isinstance(distribution, IntDistribution) else "a number"
    step = "" if distribution.step is None or distribution.step == 1 else f" in steps of {distribution.step}"
    return f"{whole} from {distribution.low} to {distribution.high}{step}"


def given_point(job: Job, values: Mapping[str, Any], *, like: Mapping[str, Any]) -> tuple[dict[str, Any], RunConfig]:
    """The point of a job's space that has these values, and where none is given those of another.

    Args:
        job: The job, which has a space.
        values: By name.
        like: The other's; what the space does not ask for at this point is left out.

    Returns:
        The point, and its run as that of trial 0.

    Raises:
        RequestError: Everything that is wrong with it, one line each.
    """
    problems, pinned = Problems(), pins(job)
    point = point_at(job, {**like, **values}, problems)
    if point is None:
        raise RequestError(problems.lines())
    for name in values.keys() - point.params.keys():
        if name in pinned:
            problems.add(name, f"is pinned to {shown(pinned[name])} by the job")
        elif name in like:
            problems.add(name, f"is not asked for at this point of {job.space}")
        else:
            problems.add(name, unknown_key(name, point.params))
    if not problems:
        build_run(run_data(job, point.suggested), problems)
    if problems:
        raise RequestError(problems.lines())
    return point.params, build_trial_run(job, point.suggested)


def with_points_taken(job: Job) -> Job:
    """A checked job whose enqueued points have their values as its space takes them: 20 for 20.0, .001 for "1e-3"."""
    points = (point_at(job, params, Problems()) for params in job.enqueue)
    return job.model_copy(update={"enqueue": [point.params for point in points if point is not None]})


def point_at(job: Job, values: Mapping[str, Any], problems: Problems) -> Point | None:
    """The point of a job's space that has these values, or a stand-in for a faulty one; None where it gives nothing.

    Args:
        job: The job, which has a space.
        values: By name; what the space does not ask for at this point is left out.
        problems: Takes every fault.
    """
    before = len(problems.found)
    trial = _GivenTrial(values, problems)
    try:
        suggested = suggest(job, trial)
    except optuna.TrialPruned as error:
        fault = f"says that this point is infeasible: {one_line(error)}"
    except Exception as error:  # a space is the user's code
        fault = f"raises {one_line(error)} at this point"
    else:
        return Point(trial.params, suggested)
    if len(problems.found) == before:  # else at a stand-in, which says nothing of the point
        problems.add((), f"{job.space} {fault}")
    return None
