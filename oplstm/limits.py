"""The largest values that a configuration may have: far above any few-shot experiment, far below what hurts a machine.

The same thing has the same name in every learner and benchmark, so a limit holds for a name. ``docs/jobs.md`` lists
them, and a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from oplstm.errors import shown

LARGEST: Final[Mapping[str, int]] = {
    "passes": 1_000,
    "eval_passes": 1_000,
    "widths": 100_000,
    "base_widths": 100_000,
    "cells": 100_000,
    "meta_batch_size": 10_000,
    "ways": 1_000,
    "train_ways": 1_000,
    "shots": 1_000,
    "train_shots": 1_000,
    "queries": 1_000,
    "size": 10_000,
    "tasks": 1_000_000_000,
    "updates": 1_000_000_000,
    "validate_every": 1_000_000_000,
    "validation_tasks": 100_000,
    "test_tasks": 100_000,
    "max_hours": 100_000,
}
"""By the name of a field; of a list, each of its numbers. The paper's LSTM is 1904 wide and makes 14 passes."""
LARGEST_OTHER: Final = 1_000_000_000
"""Of whole numbers that other packages' learners and benchmarks name otherwise."""
LARGEST_REAL: Final = 1e30
"""Of real numbers: what is computed in float32 ends at 3e38."""
LONGEST: Final = 100
"""Entries of a list, such as layers."""
MOST_POINTS: Final = 100_000
"""Meta-validation points of a run."""
MOST_PARAMETERS: Final = 200_000_000
"""Trained parameters of a run; the largest of the paper has 55.9 million."""


def over(name: str, value: Any) -> str | None:
    """What is wrong with a value that is too large for a field of that name, or None."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) > LONGEST:
            return f"must have at most {LONGEST} entries, got {len(value)}"
        return next((problem for item in value if (problem := over(name, item)) is not None), None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and name not in LARGEST:
        return f"must be within 1e30 of zero, got {value:g}" if abs(value) > LARGEST_REAL else None
    most = LARGEST.get(name, LARGEST_OTHER)
    return f"must be <= {most}, got {shown(value)}" if value > most else None
