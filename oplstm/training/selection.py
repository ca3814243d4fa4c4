"""Which weights of a run are its best, and whether it has diverged."""

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from oplstm.shape import Shape
from oplstm.training.pack import Pack, Scores

DIVERGENCE_FACTOR = 1e4
"""A validation loss this many times the untrained one counts as diverged, as nan and inf do."""


def take_better(pack: Pack, rows: Sequence[int], scores: Scores) -> None:
    """Keep the weights of those ``rows`` that are better than their best so far, by their validation ``scores``."""
    state = pack.state
    losses, values = scores["loss"].mean(1), scores[pack.measure.name]
    mean = values.mean(1).where(losses.isfinite(), torch.nan)
    first = [place for place, row in enumerate(rows) if pack.updates[row] == 0]
    state.untrained_loss[[rows[place] for place in first]] = losses[first]
    best = state.best_value[rows]
    better = mean > best if pack.measure.higher_is_better else mean < best  # strict; False for nan
    for place in better.nonzero()[:, 0].tolist():
        row = rows[place]
        state.best_value[row], state.best_values[row] = mean[place], values[place]
        state.best_update[row], state.best_weights[row] = pack.updates[row], state.weights[row]


def have_diverged(pack: Pack, rows: Sequence[int], losses: Annotated[Tensor, Shape("rows")]) -> list[bool]:
    """Whether each of ``rows`` has, which has these validation losses."""
    state = pack.state
    diverged = (state.diverged_at[rows] >= 0) | ~losses.isfinite()
    diverged |= losses > DIVERGENCE_FACTOR * state.untrained_loss[rows].clamp(min=1.0)
    found: list[bool] = diverged.tolist()
    return found


def divergence(pack: Pack, row: int, loss: float) -> str:
    """Why a run with this validation loss counts as diverged, for a person."""
    at = int(pack.state.diverged_at[row])
    if at >= 0:
        return f"diverged: training loss not finite at update {at}"
    return f"diverged: validation loss {loss:.4g} at update {pack.updates[row]}"
