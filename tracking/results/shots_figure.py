"""The paper's Figure 5: the plain LSTM that reads its support set in order or at once, against the number of shots."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from oplstm.episodes.measure import Measure
from tracking.results.axes import BLUE, INK, VERMILLION, Format, dress, make_logarithmic, new_figure, picture
from tracking.results.tuning import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES: Final = {"batched": (BLUE, "o"), "sequential": (VERMILLION, "s")}
PUBLISHED: Final[Mapping[str, Mapping[str, Mapping[int, float]]]] = {
    "sine": {
        "batched": {5: 0.0406, 10: 0.0141, 20: 0.0065, 30: 0.0064, 40: 0.0043, 50: 0.0038},
        "sequential": {5: 0.0536, 10: 0.0177, 20: 0.0080, 30: 0.0056, 40: 0.0057, 50: 0.0081},
    },
    "omniglot": {
        "batched": {1: 0.726, 3: 0.829, 5: 0.836, 8: 0.874, 10: 0.862},
        "sequential": {1: 0.660, 3: 0.401, 5: 0.568, 8: 0.413, 10: 0.489},
    },
}
"""By benchmark, reading of the support set, and shots: means over 3 runs, from the outputs saved in the authors'
notebooks."""


@dataclass(frozen=True)
class OverShots:
    """The test scores of the runs of one reading, at each number of shots.

    Attributes:
        shots: In ascending order, ``(n,)``.
        means: Over seeds, ``(n,)``.
        half_widths: Of their 95% intervals over seeds, ``(n,)``; nan with a single seed.
        seeds: How many, ``(n,)``.
    """

    shots: Floats
    means: Floats
    half_widths: Floats
    seeds: tuple[int, ...]


def shots_figure(
    found: Mapping[str, OverShots], *, benchmark: str, measure: Measure, title: str, form: Format
) -> bytes:
    """Our lines with their intervals over seeds, and the paper's points.

    Args:
        found: By reading of the support set, ``batched`` and ``sequential``.
        benchmark: Whose published points are shown, if there are any.
        measure: Of the scores.
        title: Of the picture.
        form: Of the file.
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for reading, (colour, marker) in _LINES.items():
        if (one := found.get(reading)) is not None:
            _draw(axes, one, name=reading, colour=colour, marker=marker)
            if paper := PUBLISHED.get(benchmark, {}).get(reading):
                [line] = axes.plot([*paper], [*paper.values()], color=colour, label=f"{reading}, published", alpha=0.7)
                line.set(marker=marker, markerfacecolor="none", linestyle="none")
    dress(axes)
    if not measure.higher_is_better:
        make_logarithmic(axes)
    axes.set_xlabel("shots", color=INK)
    axes.set_ylabel(f"test {measure.name}", color=INK)
    figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    return picture(figure, form)


def _draw(axes: "Axes", one: OverShots, *, name: str, colour: str, marker: str) -> None:
    axes.plot(one.shots, one.means, color=colour, marker=marker, markersize=4, linewidth=1.4, label=name)
    if not all(map(math.isnan, one.half_widths)):
        half = np.nan_to_num(one.half_widths)
        axes.fill_between(one.shots, one.means - half, one.means + half, color=colour, alpha=0.18, linewidth=0)
