"""Walking through spaces that are finite: every cell once, or some at random."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, overload

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from search_spaces.spaces import Space

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution
Choose = Callable[[int, int], int]
"""From the position of a dimension and the number of its values to the value that is taken."""


class NotFinite(ValueError):
    """A space that cannot be enumerated."""


class RecordingTrial(BaseTrial):
    """Takes values as it is told, and records what was asked. To a space it is like any trial of Optuna's.

    Args:
        choose: Takes the values.
    """

    number = 0

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self._params: dict[str, Any] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._constraints: dict[str, float] = {}
        self.sizes: list[int] = []

    def _suggest(self, name: str, distribution: Distribution) -> Any:
        if name not in self._params:
            values = _values(name, distribution)
            self._params[name] = values[self._choose(len(self.sizes), len(values))]
            self._distributions[name] = distribution
            self.sizes.append(len(values))
        return self._params[name]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return self._suggest(name, CategoricalDistribution(choices))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        """A whole number."""
        return self._suggest(name, IntDistribution(low, high, log, step))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        """A real number, which is finite only with a step."""
        return self._suggest(name, FloatDistribution(low, high, log, step))

    def suggest_uniform(self, name: str, low: float, high: float) -> Any:
        """Optuna's older word."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> Any:
        """Optuna's older word."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> Any:
        """Optuna's older word."""
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """Nothing: nothing is trained."""

    def should_prune(self) -> bool:
        """False: nothing is trained."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Kept for as long as the trial."""
        self._user_attrs[key] = value

    def set_constraint(self, key: str, value: float) -> None:
        """Kept for as long as the trial: a grid has every cell."""
        self._constraints[key] = float(value)

    @property
    def constraints(self) -> dict[str, float]:
        """What the space has set."""
        return dict(self._constraints)

    @property
    def params(self) -> dict[str, Any]:
        """The values so far."""
        return dict(self._params)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The dimensions so far."""
        return dict(self._distributions)

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What the space has set."""
        return dict(self._user_attrs)

    @property
    def datetime_start(self) -> datetime | None:
        """None: it never starts."""
        return None


class _Steps(Sequence[float]):
    """The values of a range with a step, none of which is made before it is asked for: there may be very many."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self._low, self._high, self._step = low, high, step

    def __len__(self) -> int:
        return round((self._high - self._low) / self._step) + 1

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...

    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return min(self._low + index * self._step, self._high)


def _values(name: str, distribution: Distribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if distribution.low == distribution.high:
        return [distribution.low]
    if distribution.step is None:
        raise NotFinite(f"{name} is continuous: a grid needs choices or a step")
    return _Steps(distribution.low, distribution.high, distribution.step)


def enumerate_grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every cell of a finite space once, as Optuna parameters, one at a time; conditional dimensions are followed.

    A cell at which the space raises is given too, as far as it came: what follows it is another cell.

    Raises:
        NotFinite: A dimension is continuous.
    """
    choices: list[int] = []

    def choose(position: int, size: int) -> int:
        return choices[position] if position < len(choices) else 0

    while True:
        yield (trial := _walked(space, choose)).params
        choices = [*choices, *([0] * (len(trial.sizes) - len(choices)))][: len(trial.sizes)]
        while choices and choices[-1] + 1 >= trial.sizes[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1


def random_cells(space: Space, count: int) -> Iterator[dict[str, Any]]:
    """Some cells of a finite space, the first and the last choice of every dimension among them.

    Raises:
        NotFinite: A dimension is continuous.
    """
    yield _walked(space, lambda position, size: 0).params
    yield _walked(space, lambda position, size: size - 1).params
    dice = random.Random(0)
    for _ in range(count - 2):
        yield _walked(space, lambda position, size: dice.randrange(size)).params


def _walked(space: Space, choose: Choose) -> RecordingTrial:
    trial = RecordingTrial(choose)
    try:
        space(trial)
    except NotFinite:
        raise
    except Exception:  # noqa: S110 - whoever trains the cell asks the space again, and is told
        pass
    return trial
