"""Figures of sweeps: tuning curves of several, learning curves of the leaders of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from oplstm.episodes.measure import Measure
from tracking.results.axes import INK, PALETTE, Format, dress, make_logarithmic, new_figure, picture
from tracking.results.figures import label
from tracking.results.tuning import Curve, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAND = 0.16  # opacity


@dataclass(frozen=True)
class Tuned:
    """The tuning curve of a sweep.

    Attributes:
        name: Of the sweep.
        trials: How many it is made of.
        curve: Of costs, by the number of trials.
        hours_per_trial: Of training, on average; None where the figure is against trials.
    """

    name: str
    trials: int
    curve: Curve
    hours_per_trial: float | None = None


@dataclass(frozen=True)
class Learned:
    """The learning curve of a trial.

    Attributes:
        name: Of the trial.
        updates: Meta-updates, ``(n,)``.
        values: Validation by the benchmark's measure, ``(n,)``.
        half_widths: Of their 95% intervals over tasks, ``(n,)``.
    """

    name: str
    updates: Floats
    values: Floats
    half_widths: Floats


def tuning_figure(found: Sequence[Tuned], measure: Measure, *, confidence: float, form: Format) -> bytes:
    """The median of the best validation against tuning effort, with bands that hold together.

    Args:
        found: A curve a sweep, all against trials or all against hours.
        measure: What the costs are costs of.
        confidence: That all bands hold everywhere.
        form: Of the file.
    """
    figure = new_figure(7.2, 4.6)
    axes: Axes = figure.subplots()
    sign, drawn = measure.cost(1.0), []
    for place, one in enumerate(found):
        curve, dashes = one.curve, "-" if place < len(PALETTE) else "--"
        effort = curve.counts * (one.hours_per_trial or 1.0)
        known, name = np.isfinite(curve.typical), f"{one.name} ({one.trials} trials)"
        x, y = effort[known], sign * curve.typical[known]
        axes.plot(x, y, color=PALETTE[place % len(PALETTE)], linestyle=dashes, linewidth=1.8, label=name)
        drawn += [sign * values[np.isfinite(values)] for values in (curve.typical, curve.low, curve.high)]
    values = np.concatenate(drawn)
    if values.size:
        _bound(axes, values, measure)
    bottom, top = axes.get_ylim()
    for place, one in enumerate(found):
        effort = one.curve.counts * (one.hours_per_trial or 1.0)
        one_end, other_end = (np.clip(sign * values, bottom, top) for values in (one.curve.low, one.curve.high))
        colour = PALETTE[place % len(PALETTE)]
        axes.fill_between(effort, one_end, other_end, color=colour, alpha=_BAND, linewidth=0)
        for end in (one_end, other_end):
            axes.plot(effort, end, color=colour, alpha=0.5, linewidth=0.7)
    dress(axes, empty="no trial has a score")
    axes.set_ylim(bottom, top)
    in_hours = any(one.hours_per_trial is not None for one in found)
    axes.set_xlim(left=0 if in_hours else 1)
    if in_hours:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("hours of training" if in_hours else "trials", color=INK)
    axes.set_ylabel(f"expected (median) best {label(f'val/{measure.name}')}", color=INK)
    figure.suptitle(f"Tuning curves, {100 * confidence:g}% bands for all efforts at once", color=INK, fontweight="bold")
    return picture(figure, form)


def _bound(axes: "Axes", values: Floats, measure: Measure) -> None:
    """An axis that shows all values; a band that has no end goes to the edge."""
    low, high = float(values.min()), float(values.max())
    if measure.higher_is_better:
        axes.set_ylim(max(0.0, low - 0.05 * (high - low + 1e-9)), 1.0)
    elif low > 0:
        axes.set_ylim(low / 1.5, high * 1.1)
        make_logarithmic(axes)
    else:
        axes.set_ylim(0.0, high * 1.1 + 1e-9)


def curves_figure(found: Sequence[Learned], measure: Measure, *, title: str, form: Format) -> bytes:
    """Meta-validation of several trials against meta-updates, each with its interval over tasks.

    Args:
        found: The trials, the best first.
        measure: What their values are.
        title: Of the picture.
        form: Of the file.
    """
    figure = new_figure(7.2, 4.6)
    axes: Axes = figure.subplots()
    positive = []
    for place, one in enumerate(found):
        colour, dashes = PALETTE[place % len(PALETTE)], ("-", "--", ":")[place // len(PALETTE) % 3]
        there = np.isfinite(one.values)
        x, y, half = one.updates[there], one.values[there], np.nan_to_num(one.half_widths[there])
        axes.plot(x, y, color=colour, linestyle=dashes, linewidth=1.6, label=one.name)
        low = np.where((y - half <= 0) & (y > 0), y / 2, y - half)  # a logarithmic axis has no room for 0
        axes.fill_between(x, low, y + half, color=colour, alpha=_BAND, linewidth=0)
        positive.append(bool((y > 0).all() and y.size))
    dress(axes)
    if measure.name == "loss" and all(positive) and positive:
        make_logarithmic(axes)
    axes.set_xlabel("meta-updates", color=INK)
    axes.set_ylabel(f"{label(f'val/{measure.name}')}, 95% interval over tasks", color=INK)
    figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    return picture(figure, form)
