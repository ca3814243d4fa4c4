"""What lies beside the page of a report: the trial table and the job."""

import csv
import io
from typing import Any, Final

import yaml

from jobs.operations.reporting.contents import Contents
from jobs.store.header import Header
from jobs.store.names import SWEEP_NAME
from jobs.store.trial import Trial
from oplstm.training.run_size import counted_parameters

PARAMETER: Final = "param."
"""Before the name of a parameter of the space, which may be any text."""


def trial_rows(contents: Contents) -> list[dict[str, Any]]:
    """A row a trial, best meta-validation first, then the replicates; None where nothing is known.

    Test scores are no part of it: whoever sorts it by one would pick by it.
    """
    ordered = [*contents.ranked, *contents.state.replicates.values()]
    names = list(dict.fromkeys(name for trial in ordered for name in trial.params))
    return [_row(contents, trial, names) for trial in ordered]


def _row(contents: Contents, trial: Trial, names: list[str]) -> dict[str, Any]:
    hours = contents.hours.get(trial.name)
    row: dict[str, Any] = {
        "trial": trial.name,
        "replicate_of": contents.state.trials[trial.number].name if trial.replicate else None,
        "state": str(trial.state),
        f"val/{contents.header.measure.name}": trial.best,
        "val/ci95": half_width(trial),
        "best_update": trial.best_update if trial.state.ended and trial.points else None,
        "updates": int(trial.points[-1]["update"]) if trial.points else None,
        "hours": None if hours is None else float(f"{hours:.6g}"),
        "parameters": _parameters(trial),
        "pack": trial.pack,
    }
    row |= {PARAMETER + name: trial.params.get(name) for name in names}
    return row | {"note": trial.note, "mlflow_run": contents.run_ids.get(trial.name)}


def half_width(trial: Trial) -> float | None:
    """Of the 95% interval of a trial's best validation over tasks."""
    best = trial.best
    name = f"val/{trial.measure.name}"
    return next((point.get("val/ci95") for point in trial.points if point.get(name) == best), None)


def _parameters(trial: Trial) -> int | None:
    if not trial.run:
        return None
    run = trial.config
    return counted_parameters(run.learner, run.hyperparameters, run.benchmark)


def trials_csv(contents: Contents) -> str:
    """The rows as CSV."""
    rows, text = trial_rows(contents), io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def job_name(header: Header) -> str:
    """Name of the job file: that of the experiment, so that a sweep of it is tracked there too."""
    stem = header.experiment if SWEEP_NAME.fullmatch(header.experiment) else "job"
    return f"{stem}.yaml"


def job_yaml(header: Header) -> str:
    """The job as it was read, with everything that was set over it."""
    text: str = yaml.safe_dump(
        header.job.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def command(header: Header) -> str:
    """What runs the sweep once more, from its job file."""
    name = f"{header.name}-again"
    return f"oplstm sweep {job_name(header)} --name {name if SWEEP_NAME.fullmatch(name) else 'again'}"
