"""A space with some of its dimensions pinned: what it derives from them, it derives from the pinned values."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from search_spaces.spaces import Space

_NUMBER: Final = (int, float)


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
        return getattr(self._trial, name)

    @property
    def params(self) -> dict[str, Any]:
        """The values so far, the pinned ones among them."""
        return {**self._trial.params, **self._taken}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The pinned value if it is of a choice's type, else one of the choices."""
        return self._suggest("suggest_categorical", name, choices, alike=tuple(choices))

    def suggest_int(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The pinned value if it is whole, else a whole number."""
        return self._suggest("suggest_int", name, *args, alike=(0,), **kwargs)

    def suggest_float(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The pinned value if it is a number, else a real number."""
        return self._suggest("suggest_float", name, *args, alike=(0.0,), **kwargs)

    def suggest_uniform(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Optuna's older word."""
        return self._suggest("suggest_uniform", name, *args, alike=(0.0,), **kwargs)

    def suggest_loguniform(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Optuna's older word."""
        return self._suggest("suggest_loguniform", name, *args, alike=(0.0,), **kwargs)

    def suggest_discrete_uniform(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Optuna's older word."""
        return self._suggest("suggest_discrete_uniform", name, *args, alike=(0.0,), **kwargs)

    def _suggest(self, method: str, name: str, *args: Any, alike: Sequence[Any], **kwargs: Any) -> Any:
        value = self._values.get(name)
        if value is None or (taken := _as(value, alike)) is None:
            return getattr(self._trial, method)(name, *args, **kwargs)
        self._taken[name] = taken
        return taken


def _as(value: Any, alike: Sequence[Any]) -> Any:
    """A pinned value as the space expects it, or None where it expects nothing of the kind.

    Args:
        value: Of a job.
        alike: Values of the types that the space expects.
    """
    types = {type(one) for one in alike}
    if type(value) in types:
        return value
    if type(value) in _NUMBER and float in types:
        return float(value)
    if type(value) is float and int in types and value.is_integer():
        return int(value)
    # Optuna's choices are scalars, so that the spaces here write lists of sizes as text.
    if isinstance(value, list | tuple) and str in types and all(type(one) is int for one in value):
        return "-".join(map(str, value))
    return None
