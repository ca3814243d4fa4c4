"""The study that Optuna draws: made of a sweep's journal, so that neither the space nor the study's file is needed."""

import math
import statistics
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Final

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from jobs.store.states import TrialState
from jobs.store.trial import Trial
from oplstm.episodes.measure import Measure
from oplstm.errors import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.study import Study

MOST_CHOICES: Final = 30
"""Of a parameter that is drawn and is no number."""
_LONGEST: Final = 40  # characters of a name or a choice in a picture
_LOGARITHMIC_FROM: Final = 20.0  # the largest value by the smallest; most of them must be small, too

Values = dict[int, Any]


def study_of(trials: "Sequence[Trial]", measure: Measure) -> "Study":
    """A study in memory, with the parameters that vary.

    Distributions are inferred from the values: what matters to a picture is where they lie. Names and choices are
    texts of plotly, which reads HTML in them, and come from a user's space; so they are escaped here.

    Args:
        trials: All of the sweep, in the order of their numbers.
        measure: What they are compared by.
    """
    columns = _columns(trials)
    study = optuna.create_study(direction=measure.direction)
    for place, trial in enumerate(trials):
        params = {name: values[place] for name, (values, _) in columns.items() if place in values}
        state, value = _outcome(trial)
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=value,
                params=params,
                distributions={name: columns[name][1] for name in params},
            )
        )
    return study


def _outcome(trial: Trial) -> tuple[optuna.trial.TrialState, float | None]:
    value = None if trial.best is None or not math.isfinite(trial.best) else rounded(trial.best)
    if trial.state is TrialState.COMPLETE and value is not None:
        return optuna.trial.TrialState.COMPLETE, value
    if trial.state is TrialState.PRUNED and value is not None:
        return optuna.trial.TrialState.PRUNED, value
    return optuna.trial.TrialState.FAIL, None


def rounded(value: float) -> float:
    """To six digits: more are not seen, and make the page larger."""
    return float(f"{value:.6g}")


def _columns(trials: "Sequence[Trial]") -> dict[str, tuple[Values, BaseDistribution]]:
    """The values of each parameter that varies, by the place of the trial, with their distribution."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    found: dict[str, tuple[Values, BaseDistribution]] = {}
    for name in names:
        raw = {place: trial.params[name] for place, trial in enumerate(trials) if name in trial.params}
        values, distribution = _column(raw)
        if distribution is not None:
            shown = picture_text(name)
            found[shown if shown not in found else f"{shown} ({len(found)})"] = values, distribution
    return found


def _column(raw: Mapping[int, Any]) -> tuple[Values, BaseDistribution | None]:
    kinds = {type(value) for value in raw.values()}
    values: Values
    if kinds == {int} and all(abs(value) < 2**53 for value in raw.values()):
        values = dict(raw)
    elif kinds <= {int, float} and all(math.isfinite(value) for value in raw.values()):
        values = {place: rounded(float(value)) for place, value in raw.items()}
    else:
        values = {place: picture_text(value) for place, value in raw.items()}
        choices = sorted(set(values.values()))
        return values, CategoricalDistribution(choices) if 2 <= len(choices) <= MOST_CHOICES else None
    low, high = min(values.values()), max(values.values())
    if low == high:
        return values, None
    log = low > 0 and high / low >= _LOGARITHMIC_FROM and statistics.median(values.values()) < (low + high) / 4
    return values, (IntDistribution if kinds == {int} else FloatDistribution)(low, high, log=log)


def picture_text(value: object) -> str:
    """A text of a user's as plotly is to show it: as it stands, and not as HTML."""
    return escape(shortened(str(value), _LONGEST), quote=False)
