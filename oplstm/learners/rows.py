"""The state of some runs of a pack, out of the state of all, and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

StateT = TypeVar("StateT")


def rows_of(state: StateT, start: int, stop: int) -> StateT:
    """Runs ``start`` to ``stop`` of a state: of every tensor in it."""
    rows: StateT = _mapped([state], lambda tensors: tensors[0][start:stop])
    return rows


def joined_rows(states: Sequence[StateT]) -> StateT:
    """States of some runs each, of one structure, as the state of all of them."""
    joined: StateT = _mapped(states, lambda tensors: torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0])
    return joined


def _mapped(states: Sequence[Any], change: Callable[[Sequence[Tensor]], Tensor]) -> Any:
    """A state of the structure of ``states``, its tensors made by ``change`` from theirs; other values as they are."""
    first = states[0]
    if isinstance(first, Tensor):
        return change(states)
    if isinstance(first, Mapping):
        return {name: _mapped([state[name] for state in states], change) for name in first}
    if isinstance(first, list | tuple):
        parts = [_mapped(parts, change) for parts in zip(*states, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return first
