"""Pictures of runs, drawn without a display and without global state."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tracking.results.axes import BLUE, INK, ORANGE, VERMILLION, dress, make_logarithmic, new_figure, picture, thousands
from tracking.results.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_LABELS: Final = {
    "train/loss": "training loss",
    "val/loss": "validation loss",
    "val/accuracy": "validation accuracy",
}


def learning_curve(points: Sequence[Mapping[str, Any]], metric: str, title: str) -> bytes:
    """Training loss and a validation metric against meta-updates, the best point marked.

    Losses are drawn on a logarithmic axis and together; an accuracy gets a panel of its own.

    Args:
        points: Each with "update" (how many meta-updates), and any of "tasks_seen", "train/loss", "val/ci95", `metric`.
        metric: Name of the validation metric.
        title: Of the picture.

    Returns:
        The PNG.
    """
    updates = _column(points, "update")
    training, validation, width = (_column(points, name) for name in ("train/loss", metric, "val/ci95"))
    apart = not metric.endswith("loss")
    figure = new_figure(7.2, 6.0 if apart else 4.6)
    panels = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2)) if apart else [figure.subplots()] * 2
    upper: Axes = panels[0]
    lower: Axes = panels[1]
    _draw_line(lower, updates, training, color=ORANGE, name="train/loss", marker=None)
    _draw_band(upper, updates, validation, width=width)
    _draw_line(upper, updates, validation, color=BLUE, name=metric, marker="o")
    _mark_best(upper, updates, validation, metric=metric)
    for axes in {id(axes): axes for axes in panels}.values():
        dress(axes)
    for axes, values in ((upper, validation), (lower, training)):
        if np.any(values > 0) and (axes is lower or not apart):
            make_logarithmic(axes)
    upper.set_ylabel(label(metric) if apart else "loss", color=INK)
    if apart:
        lower.set_ylabel(label("train/loss"), color=INK)
    lower.set_xlabel("meta-updates", color=INK)
    _add_tasks_axis(upper, updates, _column(points, "tasks_seen"))
    figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    return picture(figure)


def _column(points: Sequence[Mapping[str, Any]], name: str) -> "NDArray[np.float64]":
    return np.array([float(point.get(name, math.nan)) for point in points], dtype=np.float64)


def label(metric: str) -> str:
    """What a metric is called on an axis."""
    return _LABELS.get(metric, metric)


def _draw_line(
    axes: "Axes", x: "NDArray[np.float64]", y: "NDArray[np.float64]", *, color: str, name: str, marker: str | None
) -> None:
    there = np.isfinite(x) & np.isfinite(y)
    if there.any():
        marker = marker if there.sum() <= 60 or marker is None else None
        if there.sum() == 1:
            marker = "o"
        axes.plot(x[there], y[there], color=color, label=label(name), marker=marker, markersize=3.5, linewidth=1.6)


def _draw_band(
    axes: "Axes", x: "NDArray[np.float64]", y: "NDArray[np.float64]", *, width: "NDArray[np.float64]"
) -> None:
    there = np.isfinite(x) & np.isfinite(y) & np.isfinite(width)
    if there.any():
        low = y - width
        low[(low <= 0) & (y > 0)] = np.nanmin(np.where(y > 0, y, np.nan)) / 2  # a log axis has no room for 0
        axes.fill_between(
            x[there], low[there], (y + width)[there], color=BLUE, alpha=0.18, linewidth=0, label="95% interval"
        )


def _mark_best(axes: "Axes", x: "NDArray[np.float64]", y: "NDArray[np.float64]", *, metric: str) -> None:
    there = np.isfinite(x) & np.isfinite(y)
    if not there.any():
        return
    higher = metric in METRICS and METRICS[metric].better == "higher"
    best = int(np.nanargmax(np.where(there, y, np.nan)) if higher else np.nanargmin(np.where(there, y, np.nan)))
    name = f"best {y[best]:.4g} at {int(x[best]):,}"
    axes.plot(
        x[best], y[best], marker="*", markersize=14, color=VERMILLION, markeredgecolor="white", linestyle="none",
        label=name,
    )  # fmt: skip


def _add_tasks_axis(axes: "Axes", updates: "NDArray[np.float64]", tasks: "NDArray[np.float64]") -> None:
    there = np.isfinite(updates) & np.isfinite(tasks) & (updates > 0) & (tasks > 0)
    if not there.any():
        return
    ratio = tasks[there][-1] / updates[there][-1]
    above = axes.secondary_xaxis("top", functions=(lambda x: x * ratio, lambda x: x / ratio))
    above.set_xlabel("tasks seen", color=INK)
    above.tick_params(colors=INK, labelsize=9)
    above.xaxis.set_major_formatter(FuncFormatter(thousands))
    above.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
