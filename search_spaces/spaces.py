"""Spaces by name.

A space is an Optuna define-by-run function: ``space(trial) -> dict`` of ``lr``, ``meta_batch_size`` and the learner's
own hyperparameters. A job names one that ships here, or any importable one as ``package.module:function``.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from oplstm.configuration import unknown_key
from oplstm.errors import one_line, shown
from search_spaces import images, maml, others, sine
from search_spaces.own import is_own, look_in_working_directory

Space = Callable[[Any], dict[str, Any]]
"""From an Optuna trial to hyperparameters by name."""

SPACES: Mapping[str, Space] = {
    "sine-lstm": sine.lstm,
    "sine-lstm-sequential": sine.lstm_sequential,
    "sine-op-lstm": sine.op_lstm,
    "sine-op-lstm-conventions": sine.op_lstm_conventions,
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
    except (Exception, SystemExit) as error:  # of whatever the module does
        raise ValueError(f"cannot import space {shown(name)}: {one_line(error)}") from error
    if not callable(found):
        raise ValueError(f"space {shown(name)} must be a function, got {shown(found)}")
    return found
