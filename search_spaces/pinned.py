"""A space with some of its dimensions pinned: what it derives from them, it derives from the pinned values."""

import functools
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from search_spaces.spaces import Space

_NUMBERS: Final[Mapping[str, type]] = {
    "suggest_int": int,
    "suggest_float": float,
    "suggest_uniform": float,
    "suggest_loguniform": float,
    "suggest_discrete_uniform": float,
}
"""How a space asks for numbers, the last three in Optuna's older words, and of which type it gets them."""
_SIZES: Final = re.compile(r"\d+(-\d+)*")
"""A list of sizes as the spaces here write it, because Optuna's choices are scalars."""


def pinned(space: Space, values: Mapping[str, Any]) -> Space:
    """The space in which a dimension that has a value here is that value, and is not asked of the sampler.

    A rate that a space ties to the meta-batch size, for one, is that of a pinned size. A pinned value need not be one
    of the space's choices; where it is nothing of their kind, which the space may not know what to do with, the space
    gets its first choice, or its lowest number: what it makes of that under the dimension's name is not used anyway.

    Args:
        space: Any.
        values: By name of dimension; names that the space never asks for mean nothing.
    """
    return (lambda trial: space(_PinnedTrial(trial, values))) if values else space


class _PinnedTrial:
    """A trial that answers with pinned values, and for all else is the trial that it wraps."""

    def __init__(self, trial: Any, values: Mapping[str, Any]) -> None:
        self._trial, self._values = trial, values
        self._taken: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._number, name) if name in _NUMBERS else getattr(self._trial, name)

    @property
    def params(self) -> dict[str, Any]:
        """The values so far, those of pinned dimensions among them."""
        return {**self._trial.params, **self._taken}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The pinned value if it is of a choice's type, else the first choice; one of the choices if none is pinned."""
        if name not in self._values:
            return self._trial.suggest_categorical(name, choices)
        value = self._values[name]
        if isinstance(value, list | tuple) and all(map(_is_sizes, (*choices, text := "-".join(map(str, value))))):
            value = text
        self._taken[name] = _as(value, {type(one) for one in choices}, choices[0])
        return self._taken[name]

    def _number(self, method: str, name: str, low: float, *args: Any, **kwargs: Any) -> Any:
        if name not in self._values:
            return getattr(self._trial, method)(name, low, *args, **kwargs)
        kind = _NUMBERS[method]
        self._taken[name] = _as(self._values[name], {kind}, kind(low))
        return self._taken[name]


def _is_sizes(value: Any) -> bool:
    return isinstance(value, str) and _SIZES.fullmatch(value) is not None


def _as(value: Any, types: Set[type], stand_in: Any) -> Any:
    """A pinned value as one of the types that the space expects, or a stand-in where it expects nothing of the kind."""
    if type(value) in types:
        return value
    if type(value) is int and float in types:
        return float(value)
    if type(value) is float and int in types and value.is_integer():
        return int(value)
    return stand_in
