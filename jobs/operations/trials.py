"""Trials as a user names them, ``SWEEP/TRIAL``, and the job that trains one alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from jobs.jobfile.schema import Job
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.names import SWEEP_NAME, trial_name
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from jobs.store.trial import Trial
from oplstm.errors import RequestError, shown
from oplstm.training.run import OF_EVERY_RUN

REFERENCE: Final = re.compile(rf"({SWEEP_NAME.pattern})/(trial-[0-9]{{4,9}}(?:-seed-[1-9][0-9]{{0,3}})?)")


@dataclass(frozen=True)
class Alone:
    """The job of one trial.

    Attributes:
        job: Checked, without a space.
        experiment: In which its sweep is tracked.
        name: What a training of it is called.
    """

    job: Job
    experiment: str
    name: str


def split_reference(text: str) -> tuple[str, str] | None:
    """Sweep and trial of ``SWEEP/TRIAL``; None for what is no such name."""
    found = REFERENCE.fullmatch(text)
    return None if found is None else (found[1], found[2])


def find_trial(state: SweepState, name: str, *, sweep: str) -> Trial:
    """The trial of a name, or of a number.

    Raises:
        RequestError: There is none.
    """
    wanted = trial_name(int(name)) if re.fullmatch(r"[0-9]{1,9}", name) else name
    if wanted not in state.by_name:
        raise RequestError(f"sweep {sweep} has no trial {shown(name)}; oplstm status {sweep} shows its trials")
    return state.by_name[wanted]


def job_of_trial(
    home: Home, sweep: str, trial: str, *, overrides: Sequence[str] = (), plugins: Sequence[str] = ()
) -> Alone:
    """The job that trains the configuration of a trial, with the trial's own seed where that follows from the job.

    Args:
        home: Where the sweep is.
        sweep: Its name.
        trial: Name of the trial.
        overrides: ``key=value`` texts of ``--set``.
        plugins: Stand beside those of its job.

    Raises:
        RequestError: There is no such trial, it is of a point of which no run was made, or an override is wrong.
    """
    from jobs.jobfile.reading import parse_job  # imports torch
    from jobs.operations.trust import check_plugins

    folder = home.sweep(sweep)
    header = Header.read(folder)
    found = find_trial(SweepState.of(folder, header), trial, sweep=sweep)
    if not found.run:
        raise RequestError(f"{sweep}/{trial} has no run to train: {found.note}")
    check_plugins(header, trust=False)
    text = yaml.safe_dump(_job_data(header, found), sort_keys=False)
    return Alone(parse_job(text, f"{sweep}/{trial}", overrides, plugins=plugins), header.experiment, f"{sweep}-{trial}")


def _job_data(header: Header, trial: Trial) -> dict[str, object]:
    """As a job file has it; defaults that were no choice of anybody's are left out."""
    job, run = header.job, trial.run
    fixed = {**run["hyperparameters"], **{key: run[key] for key in OF_EVERY_RUN if key in run}}
    return {
        "description": f"{trial.name} of {header.name}, alone.",
        "plugins": job.plugins,
        "learner": job.learner,
        "benchmark": {key: value for key, value in run["benchmark"].items() if value is not None},
        "fixed": fixed,
        "seed": job.seed,
        "first_seed": 0 if trial.replicate else job.first_seed + trial.number,
        "budget": job.budget,
        "resources": job.resources.model_dump(mode="json", exclude_defaults=True),
        "final": job.final.model_dump(mode="json", exclude_defaults=True),
    }


def has_own_seed(header: Header, trial: Trial) -> bool:
    """Whether the run of ``job_of_trial`` has the trial's seeds: those of replicates and final runs are not a job's."""
    return not trial.replicate and header.kind is not SweepKind.FINAL
