"""``oplstm figure``: tuning curves of sweeps beside each other, learning curves of a sweep's leaders, Figure 6."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.operations.tuning import Effort, compared, notes, tried
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.intervals import Interval
from jobs.store.state import SweepState
from jobs.store.states import OUT, SweepKind
from jobs.store.trial import Trial
from oplstm.durable import write_file
from oplstm.episodes.measure import Measure
from oplstm.errors import RequestError

if TYPE_CHECKING:  # they need scipy and matplotlib
    from tracking.results.axes import Format
    from tracking.results.sweep_figures import Learned, Tuned

CONFIDENCE = 0.95
"""That all bands of a figure hold, everywhere."""


@dataclass(frozen=True)
class TuningReport:
    """A figure of tuning curves, and what it says in words.

    Attributes:
        curves: A sweep each: its name, trials, hours a trial, and its curve by the measure.
        comparisons: Which sweep is better than which at equal effort, one sentence a pair.
        notes: What to know about the trials.
    """

    curves: list[dict[str, Any]]
    comparisons: list[str]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"curves": self.curves, "comparisons": self.comparisons, "notes": self.notes}


def form_of(path: Path) -> "Format":
    """The format that a file's suffix names.

    Raises:
        RequestError: It is none that can be drawn, or its folder does not exist.
    """
    if not path.parent.is_dir():
        raise RequestError(f"{path}: there is no folder {path.parent}")
    match path.suffix.lower():
        case ".png":
            return "png"
        case ".svg":
            return "svg"
    raise RequestError(f"{path}: a figure is written as .png or .svg, got {path.suffix or 'no suffix'!r}")


def draw_tuning(folders: Sequence[SweepFolder], path: Path, *, effort: Effort) -> TuningReport:
    """Write the tuning curves of sweeps into one figure, with bands that hold all together.

    Raises:
        RequestError: A sweep has no trial with a score or, against hours, no times; or their measures differ.
    """
    from tracking.results.sweep_figures import Tuned, tuning_figure

    form = form_of(path)
    headers = [(folder, Header.read(folder)) for folder in folders]
    sweeps = [tried(header, SweepState.of(folder, header), effort) for folder, header in headers]
    measures = {sweep.header.measure.name: sweep.name for sweep in sweeps}
    if len(measures) > 1:
        told = ", ".join(f"{name} by {measure}" for measure, name in measures.items())
        raise RequestError(f"sweeps that are compared in different ways do not fit into one figure: {told}")
    each, measure = CONFIDENCE ** (1 / len(sweeps)), sweeps[0].header.measure  # sweeps are independent of each other
    found = []
    for sweep in sweeps:
        efforts = np.arange(1.0, len(sweep.costs) + 1) * (sweep.hours or 1.0)
        found.append(Tuned(sweep.name, len(efforts), sweep.curve(efforts, confidence=each), sweep.hours))
    write_file(path, tuning_figure(found, measure, confidence=CONFIDENCE, form=form))
    pairs = itertools.combinations(sweeps, 2)
    comparisons = [compared(one, other, confidence=each) for one, other in pairs]
    curves = [_plain(one, measure.cost(1.0)) for one in found]
    return TuningReport(curves, comparisons, [note for sweep in sweeps for note in notes(sweep)])


def _plain(one: "Tuned", sign: float) -> dict[str, Any]:
    def numbers(values: Any) -> list[float | None]:
        return [float(sign * value) if math.isfinite(value) else None for value in values]

    curve = one.curve
    ends = (numbers(curve.low), numbers(curve.high))
    named = dict(zip(("low", "high") if sign > 0 else ("high", "low"), ends, strict=True))
    known = {"name": one.name, "trials": one.trials, "hours_per_trial": one.hours_per_trial}
    return known | {"counts": curve.counts.tolist(), "typical": numbers(curve.typical), **named}


def draw_curves(folder: SweepFolder, path: Path, *, leaders: int) -> list[str]:
    """Write the learning curves of a sweep's leaders into a figure, and name them.

    Raises:
        RequestError: No trial has a validation point.
    """
    from tracking.results.sweep_figures import curves_figure

    form, header = form_of(path), Header.read(folder)
    measure = header.measure
    trials = [trial for trial in SweepState.of(folder, header).trials.values() if trial.best is not None]
    if not trials:
        raise RequestError(f"{folder.name} has no trial with a validation point yet")
    ranked = sorted((t for t in trials), key=lambda trial: (trial.state in OUT, trial.cost, trial.number))[:leaders]

    title = f"{folder.name}: meta-validation of the leaders"
    write_file(path, curves_figure([learned(trial, measure) for trial in ranked], measure, title=title, form=form))
    return [trial.name for trial in ranked]


def draw_similarity(folder: SweepFolder, path: Path) -> list[str]:
    """Write Figure 6 of a run's seeds, or of a sweep's leader, and name the trials that it is made of.

    Raises:
        RequestError: None of them measured how similar its updates are.
    """
    from tracking.results.similarity_figure import METRICS, OverSeeds, similarity_figure

    form, header = form_of(path), Header.read(folder)
    state = SweepState.of(folder, header)
    leader = state.leader()
    seeds = [trial for trial in state.trials.values() if trial.state not in OUT]
    if header.kind is SweepKind.SWEEP:  # of one configuration, not of all that were tried
        seeds = [leader] if leader is not None else []
    seeds = [trial for trial in seeds if any(metric in point for point in trial.points for metric in METRICS)]
    found = {}
    for metric in METRICS:
        of_seeds = [{point["update"]: point[metric] for point in trial.points if metric in point} for trial in seeds]
        if common := sorted(set.intersection(*map(set, of_seeds))) if of_seeds else []:
            at = [Interval.of([values[update] for values in of_seeds], over="seeds") for update in common]
            means, halves = (np.array([getattr(one, name) for one in at]) for name in ("mean", "half_width"))
            found[metric] = OverSeeds(np.array(common), means, halves)
    if not found:
        raise RequestError(
            f"{folder.name} has not measured how similar updates are: give its job, one of op_lstm, "
            "budget.analyses [update_similarity]"
        )
    title = f"{folder.name}: updates of OP-LSTM, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}"
    write_file(path, similarity_figure(found, title=title, form=form))
    return [trial.name for trial in seeds]


def learned(trial: Trial, measure: Measure) -> "Learned":
    """The learning curve of a trial."""
    from tracking.results.sweep_figures import Learned

    column = {
        name: np.array([point.get(name, math.nan) for point in trial.points])
        for name in ("update", f"val/{measure.name}", "val/ci95")
    }
    return Learned(trial.name, *column.values())
