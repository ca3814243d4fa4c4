"""The paper's Figure 6: how similar OP-LSTM's updates are to those of gradient descent and of prototypes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tracking.results.axes import BLUE, INK, VERMILLION, Format, dress, new_figure, picture, thousands
from tracking.results.tuning import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS: Final = {"cosine": "cosine similarity", "euclidean": "euclidean distance"}
_LINES: Final = {"gd": ("gradient descent", BLUE, "o"), "proto": ("prototypes", VERMILLION, "s")}
METRICS: Final = tuple(f"similarity/{line}_{panel}" for panel in PANELS for line in _LINES)


@dataclass(frozen=True)
class OverSeeds:
    """A metric at the validation points of several seeds.

    Attributes:
        updates: Meta-updates, ``(n,)``.
        means: Over the seeds, ``(n,)``.
        half_widths: Of their 95% intervals over seeds, ``(n,)``; nan with a single seed.
    """

    updates: Floats
    means: Floats
    half_widths: Floats


def similarity_figure(found: Mapping[str, OverSeeds], *, title: str, form: Format) -> bytes:
    """Both panels against meta-updates.

    Args:
        found: By metric, those of ``METRICS`` that there are.
        title: Of the picture.
        form: Of the file.
    """
    figure = new_figure(9.6, 4.2)
    for axes, (panel, heading) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for line, (name, colour, marker) in _LINES.items():
            if (one := found.get(f"similarity/{line}_{panel}")) is not None:
                _draw(axes, one, name=name, colour=colour, marker=marker)
        dress(axes, empty="not measured")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
        axes.set_xlabel("meta-updates", color=INK)
        axes.set_ylabel(f"{heading} to the update of", color=INK)
    figure.suptitle(title, fontsize=12, color=INK, fontweight="bold")
    return picture(figure, form)


def _draw(axes: "Axes", one: OverSeeds, *, name: str, colour: str, marker: str) -> None:
    axes.plot(one.updates, one.means, color=colour, marker=marker, markersize=3.5, linewidth=1.4, label=name)
    half = np.nan_to_num(one.half_widths)
    axes.fill_between(one.updates, one.means - half, one.means + half, color=colour, alpha=0.18, linewidth=0)
