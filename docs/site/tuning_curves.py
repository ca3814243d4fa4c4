"""Tuning curves of parts of a sweep: the trials that share a value of one of its parameters."""

import json
import math
from typing import Any

import numpy as np

from docs.site.markdown import image, written
from docs.site.results import SWEEPS
from jobs.store.states import OUT
from oplstm.episodes.measure import LOSS
from tracking.results.sweep_figures import Tuned, tuning_figure
from tracking.results.tuning import tuning_curve

CONFIDENCE = 0.95


def tuning_curves(sweep: str, parameter: str) -> str:
    """A curve for each value of a parameter, best first, with its band: as if a sweep had had no other value."""
    costs: dict[str, list[float]] = {}
    for trial in json.loads((SWEEPS / f"{sweep}.json").read_text())["trials"]:
        costs.setdefault(written(trial["params"][parameter]), []).append(_cost(trial))
    each = CONFIDENCE ** (1 / len(costs))  # so that all bands hold together
    found = [
        Tuned(value, len(own), tuning_curve(own, np.arange(1.0, len(own) + 1), confidence=each))
        for value, own in sorted(costs.items(), key=lambda entry: min(entry[1]))
    ]
    said = f"Tuning curves of {sweep} by {parameter}"
    return image(said, tuning_figure(found, LOSS, confidence=CONFIDENCE, form="svg"))


def _cost(trial: dict[str, Any]) -> float:
    """As `oplstm figure tuning` counts it: what a pruned trial had reached; a diverged one is worse than all."""
    return math.inf if trial["state"] in OUT or trial["best"] is None else float(trial["best"])
