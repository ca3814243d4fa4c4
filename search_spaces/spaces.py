"""Spaces by name.

A space is an Optuna define-by-run function: ``space(trial) -> dict`` of ``lr``, ``meta_batch_size`` and the learner's
own hyperparameters. A job names one that ships here, or any importable one as ``package.module:function``.
"""

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oplstm.configuration import unknown_key
from search_spaces import images, maml, others, sine

Space = Callable[[Any], dict[str, Any]]
"""From an Optuna trial to hyperparameters by name."""

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
    if not is_own(name):
        raise ValueError(f"{unknown_key(name, SPACES)} (or give your own as package.module:function)")
    module, _, function = name.partition(":")
    look_in_working_directory()
    try:
        found: Space = getattr(importlib.import_module(module), function)
    except Exception as error:  # of whatever the module does
        raise ValueError(f"cannot import space {name!r}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"space {name!r} must be a function, got {found!r}")
    return found


def is_own(name: str) -> bool:
    """Whether the name is that of a user's own function, ``package.module:function``."""
    return name not in SPACES and ":" in name


def look_in_working_directory() -> None:
    """Let modules be found where a user's lie; an installed command looks in its own folder instead."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def source_of(name: str) -> Path | None:
    """The file that defines a user's own space, found without running any of it; None where there is none."""
    look_in_working_directory()
    path: Sequence[str] | None = None
    found: Path | None = None
    parts = name.partition(":")[0].split(".")
    for count in range(1, len(parts) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:count]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
        found = Path(spec.origin).resolve() if spec.origin is not None and spec.has_location else None
        if path is None and count < len(parts):
            return None
    return found
