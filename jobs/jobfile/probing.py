"""Whether what a job names exists, and what its space really produces: checked before any work."""

import contextlib
import itertools
import json
from collections.abc import Iterable
from typing import Any

import optuna
from optuna.trial import BaseTrial, FixedTrial

from jobs.jobfile.given import point_at
from jobs.jobfile.places import Place
from jobs.jobfile.rehearsing import rehearse_pruner, rehearse_sampler
from jobs.jobfile.resolving import Suggested, final_budget, pins, run_data, space_of, suggest
from jobs.jobfile.schema import Job
from jobs.jobfile.space_source import check_outside_homes
from oplstm.configuration import Problems, build, unknown_key
from oplstm.errors import RequestError, message, one_line, shown
from oplstm.training.budget import Budget
from oplstm.training.run import OF_EVERY_RUN, build_run
from search_spaces.enumeration import NotFinite, enumerate_grid, random_cells
from search_spaces.own import is_own
from search_spaces.samplers import make_pruner, make_sampler
from search_spaces.spaces import Space, find_space

PROBED_CONFIGURATIONS = 64
"""Configurations of the space that are built and checked before a job starts."""
ENOUGH_PROBLEMS = 100
LARGEST_GRID = 20_000
"""Cells of a grid that a job may leave uncounted, and that are looked at before it starts; it takes a second."""


def check_content(job: Job, problems: Problems) -> None:
    """Names, options, and the configurations that the space produces."""
    for make, place in (
        (lambda: make_sampler(job.sampler.name, job.sampler.options, seed=0, trial=0), "sampler"),
        (lambda: make_pruner(job.pruner.name, job.pruner.options, patience=job.pruner.patience), "pruner"),
        (lambda: None if job.space is None else _space(job.space), "space"),
    ):
        try:
            make()
        except ValueError as error:
            problems.add(place, message(error))
    final = None
    if (budget := build(Budget, job.budget, Problems())) is not None:
        rehearse_pruner(job, budget, problems)
        final = build(Budget, final_budget(job), problems.below("final").below("budget"))
    if final is not None and not final.test_tasks:
        problems.add(("final", "budget", "test_tasks"), "must be >= 1: a final run is tested")
    for section, gpus in (("resources", job.resources.gpus), ("final", job.final.gpus)):
        if gpus > 1 and gpus != int(gpus):
            problems.add((section, "gpus"), f"must be a whole number, or a fraction below 1, got {gpus:g}")
    if job.enqueue and job.space is None:
        problems.add("enqueue", "needs a space")
    reported: set[Place] = set()  # the first of many configurations speaks for the others
    configurations = [{**job.fixed}] if job.space is None else _probe(job, problems)
    for suggested in configurations:
        found = Problems()
        build_run(run_data(job, suggested), found)
        new = [(path, text) for path, text in found.found if path not in reported]
        problems.found += [_place_in_job(job, suggested, path=path, text=text) for path, text in new]
        reported |= {path for path, _ in new}
        if len(reported) > ENOUGH_PROBLEMS:
            break
    if final is not None and configurations:
        found = Problems()
        build_run(run_data(job, configurations[0]) | {"budget": final_budget(job)}, found)
        new = [(path, text) for path, text in found.found if path[0] == "budget" and path not in reported]
        problems.found += [(("final", *path), text) for path, text in new]


def _place_in_job(job: Job, suggested: Suggested, *, path: Place, text: str) -> tuple[Place, str]:
    """Where the job says what ``build_run`` complained about."""
    name = path[-1]
    if path == ("hyperparameters",):
        return ("learner",), text
    if path[0] not in ("hyperparameters", *OF_EVERY_RUN) and not (path[0] == "benchmark" and name in suggested):
        return path, text
    if name in job.fixed or job.space is None:
        return ("fixed", name), text
    return ("space",), f"{job.space} gives {name}: {text}"


def _probe(job: Job, problems: Problems) -> list[Suggested]:
    """Some configurations of the space, the enqueued ones among them."""
    try:
        _space(str(job.space))
        space = space_of(job)
    except ValueError:
        return [{"lr": 1.0, "meta_batch_size": 1, **job.fixed}]
    probed: list[Suggested] = []
    for index, params in enumerate(job.enqueue):
        probed += _enqueued(job, index, params=params, problems=problems)
    try:
        if job.is_grid:
            cells = random_cells(space, PROBED_CONFIGURATIONS)
            probed += _suggested(job, (FixedTrial(cell) for cell in cells))
            most = LARGEST_GRID + 1 if job.trials is None else min(job.trials, LARGEST_GRID)
            if sum(1 for _ in itertools.islice(enumerate_grid(space), most)) > LARGEST_GRID:
                problems.add("trials", f"is required: the grid of {job.space} has more than {LARGEST_GRID:,} cells")
        else:
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
            probed += _suggested(job, (study.ask() for _ in range(PROBED_CONFIGURATIONS)))
            rehearse_sampler(job, study.get_trials(deepcopy=False), problems)
    except NotFinite as error:
        problems.add(("sampler", "name"), f"grid cannot enumerate {job.space}: {message(error)}")
    except Exception as error:
        hint = "for an infeasible point it must be optuna.TrialPruned"
        problems.add("space", f"{job.space} raises {one_line(error)}; {hint}")
    return probed


def _space(name: str) -> Space:
    """The space; ValueError where there is none, or where its code lies among results, which are data."""
    if is_own(name):
        try:
            check_outside_homes(name)
        except RequestError as error:
            raise ValueError(str(error)) from error
    return find_space(name)


def _suggested(job: Job, trials: Iterable[BaseTrial]) -> list[Suggested]:
    """The space's configurations, after seeing that their parameters survive the journal; infeasible ones left out.

    Raises:
        Exception: What the space raised.
    """
    found = []
    for trial in trials:
        with contextlib.suppress(optuna.TrialPruned):
            suggested = suggest(job, trial)
            if json.loads(json.dumps(trial.params)) != trial.params:
                raise TypeError(f"choices must be text, numbers, lists, true, false or null, got {shown(trial.params)}")
            found.append(suggested)
    return found


def _enqueued(job: Job, index: int, *, params: dict[str, Any], problems: Problems) -> list[Suggested]:
    """The configuration of one ``enqueue`` entry, or nothing after recording what is wrong with it."""
    below, before = problems.below("enqueue").below(str(index)), len(problems.found)
    if (point := point_at(job, params, below)) is None:
        return []
    # What the job pins wins over an entry too: --set may pin what the job's file enqueues.
    for name in sorted(params.keys() - point.params.keys() - pins(job).keys()):
        below.add(name, unknown_key(name, point.params))
    return [point.suggested] if len(problems.found) == before else []
