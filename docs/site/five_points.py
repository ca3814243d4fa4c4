"""Where accuracies on Omniglot come from that are five points apart: a figure and its numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from docs.site.markdown import image, table
from docs.studies.five_points import Trained, pairs, read
from jobs.store.intervals import Interval
from tracking.results.axes import BLUE, INK, VERMILLION, new_figure, picture

RESULTS = Path(__file__).resolve().parent.parent / "results" / "five-points.json"
VARIANTS: Final = {
    "vinyals": "as published",
    "vinyals-inversion": "inverted",
    "vinyals-rotations": "turned characters as classes",
    "vinyals-both": "inverted and turned",
}


def drawn() -> str:
    """The figure, within the page."""
    trainings = read(RESULTS)
    figure = new_figure(7.5, 3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    for pair in pairs(trainings):
        left.plot((0, 1), [100 * np.mean(one.accuracies) for one in pair], color=BLUE, marker="o", linewidth=1)
    left.set_xticks((0, 1), ["test alphabets\nnot trained on", "three quarters of\nthem trained on"])
    left.set_ylabel("test accuracy, %", color=INK)
    shown = _variants(trainings)
    for place, one in enumerate(shown):
        right.plot([place] * len(one.accuracies), [100 * each for each in one.accuracies], "o", color=VERMILLION)
    right.set_xticks(range(len(shown)), [VARIANTS[one.name].replace(" ", "\n", 2) for one in shown])
    for axes in (left, right):
        axes.grid(visible=True, axis="y", color="#DDDDDD", linewidth=0.8)
        axes.margins(x=0.25)
        axes.tick_params(colors=INK, labelsize=8)
    return image("Test accuracy by split of the characters, and on the published split", picture(figure, "svg"))


def numbers() -> str:
    """The same, in numbers, with 95 % intervals."""
    trainings = read(RESULTS)
    both = np.array([[100 * np.mean(one.accuracies) for one in pair] for pair in pairs(trainings)])
    gain = Interval.of(both[:, 1] - both[:, 0], over="differences")
    rows = [
        ["test alphabets not trained on", f"{both[:, 0].mean():.1f}", f"{len(both)} splits x 3 seeds"],
        ["three quarters of them trained on", f"{both[:, 1].mean():.1f}", "the same"],
        ["**difference, split by split**", f"**{gain.mean:+.1f} ± {gain.half_width:.1f}**", ""],
    ]
    for one in _variants(trainings):
        seeds = Interval.of([100 * each for each in one.accuracies], over="seeds")
        rows.append([f"published split, {VARIANTS[one.name]}", f"{seeds.mean:.1f} ± {seeds.half_width:.1f}",
                     f"{len(one.accuracies)} seeds"])  # fmt: skip
    return table(["", "test accuracy, %", "of"], rows)


def _variants(trainings: Sequence[Trained]) -> list[Trained]:
    by_name = {one.name: one for one in trainings}
    return [by_name[name] for name in VARIANTS if name in by_name]
