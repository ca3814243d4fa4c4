"""Where accuracies on Omniglot come from that are five points apart: a figure and its numbers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from docs.site.markdown import table
from docs.studies.five_points import Tested, pairs, read
from jobs.store.intervals import mean_interval
from tracking.results.axes import BLUE, INK, VERMILLION, dress, new_figure, picture

RESULTS = Path(__file__).resolve().parent.parent / "results" / "five-points.json"
VARIANTS: Final = {
    "vinyals": "as published",
    "vinyals-inversion": "inverted",
    "vinyals-rotations": "turned characters are classes too",
    "vinyals-both": "both",
}


def drawn() -> str:
    """The figure, as SVG that can stand in a page."""
    trainings = read(RESULTS)
    figure = new_figure(7.5, 3.2)
    left, right = figure.subplots(1, 2, sharey=True)
    for pair in pairs(trainings):
        means = [100 * float(np.mean(one.accuracies)) for one in pair]
        left.plot((0, 1), means, color=BLUE, marker="o", markersize=4, linewidth=1)
    left.set_xticks((0, 1), ["test alphabets\nnot trained on", "three quarters of their\ncharacters trained on"])
    left.set_ylabel("accuracy, %", color=INK)
    shown = _variants(trainings)
    for place, one in enumerate(shown):
        accuracies = [100 * accuracy for accuracy in one.accuracies]
        right.plot([place] * len(accuracies), accuracies, color=VERMILLION, marker="o", markersize=4, linestyle="")
    right.set_xticks(range(len(shown)), [VARIANTS[one.name].replace(" characters", "\ncharacters") for one in shown])
    for axes in (left, right):
        axes.grid(visible=True, axis="y", color="#DDDDDD", linewidth=0.8)
        axes.margins(x=0.25)
        axes.tick_params(colors=INK, labelsize=8)
    svg = picture(figure, "svg").decode()
    return re.sub(r"\n\s*\n", "\n", svg[svg.index("<svg") :]).strip()
