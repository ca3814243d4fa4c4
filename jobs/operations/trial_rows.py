"""The trials of a sweep as the rows of a table, which the report has as CSV and Python as a data frame."""

from collections.abc import Mapping
from typing import Any, Final

from jobs.operations.tuning import shared_hours
from jobs.store.state import SweepState
from jobs.store.states import OUT, TrialState
from jobs.store.trial import Trial
from oplstm.episodes.measure import Measure
from oplstm.training.run_size import counted_parameters

PARAMETER: Final = "param."
"""Before the name of a parameter of the space, which may be any text."""


def ranked(state: SweepState) -> list[Trial]:
    """All trials, those that can be promoted first, best meta-validation first; without replicates.

    What began with the weights of another trial cannot be promoted.
    """
    return sorted(state.trials.values(), key=lambda trial: (_rank(trial), trial.cost, trial.number))


def _rank(trial: Trial) -> int:
    promotable = trial.state is TrialState.COMPLETE and not trial.is_warm
    return 0 if promotable else 2 if trial.state in OUT else 1


def hours_of(state: SweepState) -> dict[str, float]:
    """Hours of training, by the names of trials and replicates; those of a pack are shared by its runs."""
    return dict(spent for pack in state.packs.values() for spent in shared_hours(pack))


def trial_rows(
    state: SweepState, measure: Measure, *, hours: Mapping[str, float], run_ids: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A row a trial, best meta-validation first, then the replicates; None where nothing is known.

    Test scores are no part of it: whoever sorts it by one would pick by it.

    Args:
        state: Of the sweep.
        measure: What its trials are compared by.
        hours: As ``hours_of``.
        run_ids: MLflow runs, by the names of trials and replicates.
    """
    ordered = [*ranked(state), *state.replicates.values()]
    names = list(dict.fromkeys(name for trial in ordered for name in trial.params))
    return [
        {
            "trial": trial.name,
            "replicate_of": state.trials[trial.number].name if trial.replicate else None,
            "state": str(trial.state),
            f"val/{measure.name}": trial.best,
            "val/ci95": half_width(trial),
            "best_update": trial.best_update if trial.state.ended and trial.points else None,
            "updates": int(trial.points[-1]["update"]) if trial.points else None,
            "hours": float(f"{hours[trial.name]:.6g}") if trial.name in hours else None,
            "parameters": _parameters(trial),
            "pack": trial.pack,
            **{PARAMETER + name: trial.params.get(name) for name in names},
            "began_with": trial.began_with if trial.is_warm else None,
            "note": trial.note,
            "mlflow_run": run_ids.get(trial.name),
        }
        for trial in ordered
    ]


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
