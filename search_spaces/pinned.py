"""A space with some of its dimensions pinned: what it derives from them, it derives from the pinned values."""

import functools
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Final

from search_spaces.spaces import Space

_NUMBERS: Final[Mapping[str, Set[type]]] = {
    "suggest_int": {int},
    "suggest_float": {float},
    "suggest_uniform": {float},
    "suggest_loguniform": {float},
    "suggest_discrete_uniform": {float},
}
"""How a space asks for numbers, the last three in Optuna's older words, and of which type it gets them."""


def pinned(space: Space, values: Mapping[str, Any]) -> Space:
    """The space in which a dimension that has a value here is that value, and is not asked of the sampler.

    A rate that a space ties to the meta-batch size, for one, is that of a pinned size. A pinned value need not be one
    of the space's choices; where it is of another type than they are, the dimension is asked for as ever.

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
        found = getattr(self._trial, name)
        return functools.partial(self._suggest, found, _NUMBERS[name]) if name in _NUMBERS else found

    @property
    def params(self) -> dict[str, Any]:
        """The values so far, the pinned ones among them."""
        return {**self._trial.params, **self._taken}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The pinned value if it is of a choice's type, else one of the choices."""
        return self._suggest(self._trial.suggest_categorical, {type(one) for one in choices}, name, choices)

    def _suggest(self, ask: Callable[..., Any], types: Set[type], name: str, *args: Any, **kwargs: Any) -> Any:
        value = self._values.get(name)
        if value is None or (taken := _as(value, types)) is None:
            return ask(name, *args, **kwargs)
        self._taken[name] = taken
        return taken


def _as(value: Any, types: Set[type]) -> Any:
    """A pinned value as one of the types that the space expects, or None where it expects nothing of the kind."""
    if type(value) in types:
        return value
    if type(value) is int and float in types:
        return float(value)
    if type(value) is float and int in types and value.is_integer():
        return int(value)
    # Optuna's choices are scalars, so that the spaces here write lists of sizes as text.
    if isinstance(value, list | tuple) and str in types and all(type(one) is int for one in value):
        return "-".join(map(str, value))
    return None
