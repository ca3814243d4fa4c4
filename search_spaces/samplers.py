"""Samplers and pruners that a job may name: every one of Optuna's, and ``grid``."""

import functools
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner, PatientPruner
from optuna.samplers import BaseSampler, QMCSampler

from oplstm.configuration import unknown_key
from oplstm.errors import message, shown
from search_spaces.names import GRID

_REPEATS = "loses or repeats points when several trials run at once: name grid, which runs each cell once"
_INSTEAD = {
    "BruteForceSampler": _REPEATS,
    "GridSampler": _REPEATS,
    "PartialFixedSampler": "wraps a sampler: name that one, and give the values that do not vary under fixed",
    "PatientPruner": "wraps a pruner: name that one, and give patience beside it",
}
MOST_OF_SAMPLERS, MOST_OF_PRUNERS = 100_000, 1_000_000_000
"""Numbers among the options: of a sampler they count points, of a pruner steps, in the budget's unit."""
_MOST_OF = {"min_early_stopping_rate": 100}
"""It is an exponent."""
_SAMPLERS = {
    name: cls
    for name, cls in vars(optuna.samplers).items()
    if inspect.isclass(cls) and issubclass(cls, BaseSampler) and not inspect.isabstract(cls) and name not in _INSTEAD
}
_PRUNERS = {
    name: cls
    for name, cls in vars(optuna.pruners).items()
    if inspect.isclass(cls) and issubclass(cls, BasePruner) and not inspect.isabstract(cls) and name not in _INSTEAD
}
_ADAPTIVE_NEVER = {"RandomSampler", "QMCSampler", GRID}
_COUNTLESS_SAMPLERS = {"RandomSampler", "TPESampler", GRID}
_COUNTLESS_PRUNERS = {"MedianPruner", "NopPruner", "PercentilePruner", "ThresholdPruner", "WilcoxonPruner"}


def is_adaptive(name: str) -> bool:
    """Whether what the sampler proposes depends on results."""
    return name not in _ADAPTIVE_NEVER


def sampler_keeps_count(name: str) -> bool:
    """Whether a sampler may leave something in the study, beside the trials, from which its next draws follow.

    TPE notes what it drew for a trial that runs, which matters where the space asked for less: see ``notes_draws``.
    """
    return name not in _COUNTLESS_SAMPLERS


def notes_draws(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the next draws may follow from what was drawn for a trial that runs and not asked for by the space.

    As long as all trials have the same parameters, there is nothing of the kind.
    """
    return name == "TPESampler" and bool(options.get("constant_liar", True))


def pruner_keeps_count(name: str | None) -> bool:
    """Whether a pruner may leave something in the study when it is asked, from which its next answers follow."""
    return name is not None and name not in _COUNTLESS_PRUNERS


def make_sampler(name: str, options: Mapping[str, Any], *, seed: int, trial: int) -> BaseSampler:
    """The sampler that proposes trial number ``trial``.

    A fresh one for each trial, seeded by (seed, trial): so a resumed sweep proposes what it would have proposed. A
    seed among the options takes the part of the job's. A quasi-random sequence keeps one seed, because its points
    belong together.

    Raises:
        ValueError: Unknown name or options that it does not take.
    """
    if name == GRID:
        name = "RandomSampler"
    cls = _find(name, _SAMPLERS, also=[GRID])
    given = dict(options)
    if "seed" in _parameters(cls):
        base = given.get("seed", seed)
        if type(base) is not int or base < 0:
            raise ValueError(f"seed must be a whole number >= 0, got {shown(base)}")
        given["seed"] = base if issubclass(cls, QMCSampler) else (base * 1_000_003 + trial) % 2**32
    return _make(cls, given)  # type: ignore[no-any-return]


@functools.cache
def _parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters


def make_pruner(name: str | None, options: Mapping[str, Any], *, patience: int | None) -> BasePruner:
    """The pruner, guarded by patience: a run that improved within the last ``patience`` points is not pruned.

    Raises:
        ValueError: Unknown name or options that it does not take.
    """
    if name is None:
        return NopPruner()
    pruner: BasePruner = _make(_find(name, _PRUNERS), options)
    if patience is None:
        return pruner
    guarded: BasePruner = _make(PatientPruner, {"wrapped_pruner": pruner, "patience": patience})
    return guarded


def _find(name: str, known: Mapping[str, type], also: Sequence[str] = ()) -> type:
    if name in _INSTEAD:
        raise ValueError(f"{name} {_INSTEAD[name]}")
    if name not in known:
        raise ValueError(unknown_key(name, [*known, *also]))
    return known[name]


def _make(cls: type, options: Mapping[str, Any]) -> Any:
    if (problem := _problem(cls, options)) is None:
        try:
            with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
                return cls(**options)
        except Exception as error:
            problem = message(error)
    raise ValueError(f"{cls.__name__} does not take these options: {problem}")


def _problem(cls: type, options: Mapping[str, Any]) -> str | None:
    """What is wrong with the options that shows before anything is made of them."""
    known = _parameters(cls)
    most = MOST_OF_PRUNERS if issubclass(cls, BasePruner) else MOST_OF_SAMPLERS
    for name, value in options.items():
        if name not in known:
            return unknown_key(name, known)
        limit = _MOST_OF.get(name, most)
        if name != "seed" and isinstance(value, int | float) and abs(value) > limit:
            return f"{name} must be <= {limit}, got {shown(value)}"
    missing = [name for name, one in known.items() if one.default is one.empty and name not in options]
    return f"{missing[0]} is required" if missing else None
