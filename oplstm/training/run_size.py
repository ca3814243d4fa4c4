"""How large a run is, without making it."""

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, Final

from oplstm.configuration import Problems
from oplstm.learners.registry import LEARNERS
from oplstm.limits import MOST_PARAMETERS

if TYPE_CHECKING:
    from oplstm.episodes.benchmark import Benchmark

WIDTHS: Final = ("widths", "base_widths", "cells")
"""Hyperparameters that decide the size, by the names that learners give them."""


def check_size(learner: str, hyperparameters: Any, *, benchmark: "Benchmark", problems: Problems) -> None:
    """Record that a run has more parameters than a run may have, at the hyperparameter that makes it so.

    Args:
        learner: Name of the method.
        hyperparameters: Its configuration, checked but for this.
        benchmark: Where the tasks come from.
        problems: Takes it.
    """
    count = counted_parameters(learner, hyperparameters, benchmark)
    if count is not None and count > MOST_PARAMETERS:
        widest = max(_widths(hyperparameters), key=lambda name: max(getattr(hyperparameters, name), default=0))
        problems.add(widest, f"the run would have {count:,} parameters, and may have {MOST_PARAMETERS:,}")


def counted_parameters(learner: str, hyperparameters: Any, benchmark: "Benchmark") -> int | None:
    """Trained parameters of a run, counted without memory for them.

    None for a learner without widths, whose size is given by that of its tasks, and for one whose ``init`` needs the
    numbers themselves.
    """
    if not _widths(hyperparameters):
        return None
    kind: Any = type(hyperparameters)
    return _counted(learner, dataclasses.replace(hyperparameters, **_common(kind)), benchmark.shape)


@functools.cache
def _common(cls: Any) -> dict[str, Any]:
    """The defaults of what varies within a pack, of which the size does not depend."""
    varying = {f.name: f.default for f in dataclasses.fields(cls) if f.metadata.get("varies")}
    return {name: value for name, value in varying.items() if value is not dataclasses.MISSING}


def _widths(hyperparameters: Any) -> list[str]:
    return [name for name in WIDTHS if hasattr(hyperparameters, name)]


@functools.lru_cache(maxsize=4096)
def _counted(learner: str, hyperparameters: Any, shape: Any) -> int | None:
    import torch  # a run is described without it

    try:  # functions without a meta kernel of their own, such as zeros_like, import sympy, which takes half a second
        with torch.device("meta"):
            params = LEARNERS[learner](hyperparameters, shape).init(hyperparameters, torch.Generator("cpu"))
    except (NotImplementedError, RuntimeError):
        return None
    return sum(math.prod(param.shape) for param in params.values())
