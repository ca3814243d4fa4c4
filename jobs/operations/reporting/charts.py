"""The figures of a report: Optuna's own, learning curves of the leaders, the tuning curve."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from jobs.operations.figures import CONFIDENCE, learned
from jobs.operations.reporting.contents import Contents
from jobs.operations.reporting.study import rounded, study_of
from jobs.operations.tuning import Tried, notes, tried
from oplstm.episodes.measure import Measure
from oplstm.errors import RequestError, one_line
from tracking.results.axes import PALETTE

if TYPE_CHECKING:
    from optuna.study import Study
    from plotly.graph_objects import Figure

MOST_POINTS: Final = 200
"""Of one curve."""
MOST_PARAMETERS: Final = 12
"""Drawn beside each other; the most important ones."""
_MOST_CELLS: Final = 120  # values on each side of a contour plot
_WIDTH_OF_SLICE: Final = 200  # pixels


@dataclass(frozen=True)
class Chart:
    """A figure with its words.

    Attributes:
        name: Of its element in the page.
        title: Heading.
        caption: What it shows, and what it does not; plain text.
        figure: None where it makes no sense.
        why_not: Why there is none.
        height: Pixels.
        width: Pixels at least.
    """

    name: str
    title: str
    caption: str
    figure: "Figure | None" = None
    why_not: str = ""
    height: int = 420
    width: int = 0


def charts(contents: Contents) -> Iterator[Chart]:
    """All figures of a report, those that make no sense with the reason."""
    measure, name = contents.header.measure, f"val/{contents.header.measure.name}"
    study = study_of([trial for trial in contents.state.trials.values() if not trial.is_warm], measure)
    weights = _importances(study)
    most = list(weights)[:MOST_PARAMETERS] or _varying(study)[:MOST_PARAMETERS]
    completed = len(_completed(study))
    yield _drawn(
        Chart("history", "Optimisation history", "Best meta-validation of each completed trial, and the best so far."),
        lambda: _history(study, measure),
        missing="" if completed else "no trial has completed",
    )
    yield _drawn(
        Chart("curves", "Learning curves of the leaders", "Meta-validation with its 95% interval over tasks."),
        lambda: _curves(contents),
        missing="" if contents.leaders else "no trial has a validation point",
    )
    yield _tuning(contents)
    few = "" if weights else "it takes two completed trials with different results and a parameter that varies"
    doubt = f" Of {completed} trials: a hint, no measurement." if completed < 50 else ""
    yield _drawn(
        Chart(
            "importance",
            "Importance of the parameters",
            f"PED-ANOVA: how much it takes of a parameter to be among the best tenth of trials.{doubt}",
            height=120 + 32 * len(weights),
        ),
        lambda: _optuna("plot_param_importances", study),
        missing=few,
    )
    yield _drawn(
        Chart("parallel", "Parallel coordinates", f"A line a completed trial, coloured by {name}.", height=440),
        lambda: _optuna("plot_parallel_coordinate", study, params=most, target_name=name),
        missing=few,
    )
    yield _drawn(
        Chart(
            "slices",
            "Slices",
            f"Each completed trial's {name} against each parameter, coloured by the trial's number.",
            width=_WIDTH_OF_SLICE * len(most),
        ),
        lambda: _optuna("plot_slice", study, params=most, target_name=name),
        missing=few,
    )
    two = list(weights)[:2]
    yield _drawn(
        Chart("contour", "Contour of the two most important parameters", _sampled(completed), height=520),
        lambda: _optuna("plot_contour", _thinned(study), params=two, target_name=name),
        missing=few or ("" if len(two) == 2 and completed > 3 else "it takes two parameters and four trials"),
    )


def _drawn(chart: Chart, draw: "Callable[[], Figure]", *, missing: str) -> Chart:
    """The chart with its figure; what cannot be drawn does not take the rest of the report with it."""
    if missing:
        return replace(chart, why_not=missing)
    try:
        figure = draw()
    except Exception as error:  # of a library, for data that nobody foresaw
        return replace(chart, why_not=f"it cannot be drawn: {one_line(error)}")
    figure.update_layout(
        title=None, width=None, height=chart.height, autosize=True, template="plotly_white",
        margin={"l": 70, "r": 30, "t": 30, "b": 60}, font={"family": "system-ui, sans-serif", "size": 13},
    )  # fmt: skip
    return replace(chart, figure=figure)


def _completed(study: "Study") -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _varying(study: "Study") -> list[str]:
    return list(dict.fromkeys(name for trial in _completed(study) for name in trial.params))


def _importances(study: "Study") -> dict[str, float]:
    """By parameter, the largest first; empty where it makes no sense."""
    done = _completed(study)
    if len({trial.value for trial in done}) < 2 or not done[0].params:
        return {}
    from optuna.importance import get_param_importances  # takes a second to import

    try:
        return get_param_importances(study)
    except (ValueError, RuntimeError, ZeroDivisionError):  # no parameter that all have
        return {}


def _optuna(name: str, study: "Study", **keys: Any) -> "Figure":
    from optuna import visualization

    figure: Figure = getattr(visualization, name)(study, **keys)
    return figure


def _history(study: "Study", measure: Measure) -> "Figure":
    figure = _optuna("plot_optimization_history", study, target_name=f"val/{measure.name}")
    if measure.name == "loss" and all(trial.value > 0 for trial in _completed(study)):
        figure.update_yaxes(type="log")
    return figure


def _sampled(completed: int) -> str:
    if completed <= _MOST_CELLS:
        return "Between trials it is interpolated."
    return f"Of {_MOST_CELLS} of the {completed} completed trials, evenly by number; between them it is interpolated."


def _thinned(study: "Study") -> "Study":
    """As many trials as a grid of all their values leaves the page small."""
    import optuna

    done = _completed(study)
    if len(done) <= _MOST_CELLS:
        return study
    few = optuna.create_study(direction=study.direction)
    few.add_trials([done[int(place)] for place in np.linspace(0, len(done) - 1, _MOST_CELLS)])
    return few


def _curves(contents: Contents) -> "Figure":
    from plotly.graph_objects import Figure, Scatter

    measure, figure, positive = contents.header.measure, Figure(), True
    for place, trial in enumerate(contents.leaders):
        one, colour = learned(trial, measure), PALETTE[place % len(PALETTE)]
        there = np.flatnonzero(np.isfinite(one.values))
        if not there.size:
            continue
        there = there[np.unique(np.linspace(0, len(there) - 1, MOST_POINTS).astype(int))]
        x, y, half = one.updates[there], one.values[there], np.nan_to_num(one.half_widths[there])
        low, high = np.where((y - half <= 0) & (y > 0), y / 2, y - half), y + half
        positive = positive and bool((y > 0).all())
        figure.add_trace(_band(Scatter, x, low=low, high=high, colour=colour, group=trial.name))
        line = {"color": colour, "width": 2}
        figure.add_trace(
            Scatter(x=_plain(x), y=_plain(y), name=trial.name, legendgroup=trial.name, mode="lines", line=line)
        )
    figure.update_xaxes(title="meta-updates")
    figure.update_yaxes(title=f"val/{measure.name}", type="log" if positive and measure.name == "loss" else "linear")
    return figure


def _tuning(contents: Contents) -> Chart:
    chart = Chart(
        "tuning",
        "Tuning curve",
        "The best to expect of so many trials: the median of the best of k, with a 95% band for all k at once.",
    )
    try:
        sweep = tried(contents.header, contents.state, "trials")
    except RequestError:
        return replace(chart, why_not="no trial has ended with a score")
    said = [f"Note: {note.removeprefix(f'{sweep.name}: ')}." for note in notes(sweep)]
    return _drawn(replace(chart, caption=" ".join([chart.caption, *said])), lambda: _tuning_curve(sweep), missing="")


def _tuning_curve(sweep: Tried) -> "Figure":
    from plotly.graph_objects import Figure, Scatter

    trials, measure, figure = len(sweep.costs), sweep.header.measure, Figure()
    efforts = np.unique(np.round(np.linspace(1, trials, min(trials, MOST_POINTS))))
    curve, sign = sweep.curve(efforts, confidence=CONFIDENCE), measure.cost(1.0)
    typical, ends = sign * curve.typical, np.stack([sign * curve.low, sign * curve.high])
    seen = np.concatenate([typical, *ends])
    bottom, top = _bounds(seen[np.isfinite(seen)], measure)
    low, high = np.clip(np.sort(ends, axis=0), bottom, top)
    figure.add_trace(_band(Scatter, efforts, low=low, high=high, colour=PALETTE[0], group="band"))
    known, line = np.isfinite(typical), {"color": PALETTE[0], "width": 2}
    figure.add_trace(Scatter(x=_plain(efforts[known]), y=_plain(typical[known]), mode="lines", line=line))
    log = measure.name == "loss" and bottom > 0
    edges = [math.log10(bottom), math.log10(top)] if log else [bottom, top]
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title="trials")
    title = f"expected (median) best val/{measure.name}"
    figure.update_yaxes(title=title, type="log" if log else "linear", range=edges)
    return figure


def _bounds(values: Any, measure: Measure) -> tuple[float, float]:
    """An axis that shows all values; a band that has no end goes to its edge."""
    low, high = float(values.min()), float(values.max())
    if measure.higher_is_better:
        return max(0.0, low - 0.05), min(1.0, high + 0.05)
    return (low / 1.5, high * 1.1) if low > 0 else (low, high * 1.1 + 1e-9)


def _band(scatter: Any, x: Any, *, low: Any, high: Any, colour: str, group: str) -> Any:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return scatter(
        x=_plain(np.concatenate([x, x[::-1]])),
        y=_plain(np.concatenate([high, low[::-1]])),
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.16)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def _plain(values: Any) -> list[float]:
    return [rounded(float(value)) for value in values]
