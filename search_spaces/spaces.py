"""Spaces by name, and the enumeration of those that are finite.

A space is an Optuna define-by-run function: ``space(trial) -> dict`` of ``lr``, ``meta_batch_size`` and the learner's
own hyperparameters. A job names one that ships here, or any importable one as ``package.module:function``.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial, FixedTrial, Trial

from oplstm.configuration import unknown_key
from search_spaces import images, maml, others, sine

SuggestedTrial = Trial | FixedTrial | BaseTrial
Space = Callable[[Any], dict[str, Any]]
Distribution = CategoricalDistribution | FloatDistribution | IntDistribution

SPACES: Mapping[str, Space] = {
    "sine-lstm": sine.lstm,
    "sine-lstm-sequential": sine.lstm_sequential,
    "sine-op-lstm": sine.op_lstm,
    "sine-demo": sine.demo,
    "sine-shots": sine.shots,
    "image-lstm": images.lstm,
    "image-lstm-conv4": images.lstm_conv4,
    "image-op-lstm": images.op_lstm,
    "omniglot-op-lstm": images.op_lstm_omniglot,
    "image-shots": images.shots,
    "sine-maml": maml.sine,
    "sine-maml-widths": maml.sine_widths,
    "image-maml": maml.images,
    "image-protonet": others.protonet,
    "image-inner-steps": others.inner_steps,
}


def find_space(name: str) -> Space:
    """The space of that name.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    if name in SPACES:
        return SPACES[name]
    if ":" not in name:
        raise ValueError(f"{unknown_key(name, SPACES)} (or give your own as package.module:function)")
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:  # where a user's module lies; an installed command looks in its own folder instead
        sys.path.append(os.getcwd())
    try:
        found: Space = getattr(importlib.import_module(module), function)
    except Exception as error:  # of whatever the module does
        raise ValueError(f"cannot import space {name!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"space {name!r} must be a function, got {found!r}")
    return found


class NotFinite(ValueError):
    """A space that cannot be enumerated."""


@dataclass
class _RecordingTrial:
    """Plays a fixed sequence of choices and records what was asked, as ``BruteForceSampler`` does."""

    choices: Sequence[int]
    params: dict[str, Any] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    number: int = 0

    def _choose(self, name: str, distribution: Distribution) -> Any:
        if name in self.params:
            return self.params[name]
        values = _values(name, distribution)
        position = len(self.sizes)
        self.sizes.append(len(values))
        self.params[name] = values[self.choices[position] if position < len(self.choices) else 0]
        return self.params[name]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._choose(name, CategoricalDistribution(choices))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        return self._choose(name, IntDistribution(low, high, log, step))

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        return self._choose(name, FloatDistribution(low, high, log, step))


def _values(name: str, distribution: Distribution) -> Sequence[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    if distribution.low == distribution.high:
        return [distribution.low]
    if distribution.step is None:
        raise NotFinite(f"{name} is continuous: a grid needs choices or a step")
    steps = round((distribution.high - distribution.low) / distribution.step)
    return [min(distribution.low + i * distribution.step, distribution.high) for i in range(steps + 1)]


def enumerate_grid(space: Space) -> Iterator[dict[str, Any]]:
    """Every cell of a finite space once, as Optuna parameters; conditional dimensions are followed.

    Raises:
        NotFinite: A dimension is continuous.
    """
    choices: list[int] = []
    while True:
        trial = _RecordingTrial(choices)
        space(trial)
        yield dict(trial.params)
        choices = [*choices, *([0] * (len(trial.sizes) - len(choices)))][: len(trial.sizes)]
        while choices and choices[-1] + 1 >= trial.sizes[len(choices) - 1]:
            choices.pop()
        if not choices:
            return
        choices[-1] += 1
