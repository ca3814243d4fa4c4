"""Spaces by name.

A space is an Optuna define-by-run function: ``space(trial) -> dict`` of ``lr``, ``meta_batch_size`` and the learner's
own hyperparameters. A job names one that ships here, one that an installed package declares, or any importable one as
``package.module:function``.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any, Final

from oplstm.configuration import unknown_key
from oplstm.errors import one_line, shown
from oplstm.registry import Registry
from search_spaces.own import is_own, look_in_working_directory

Space = Callable[[Any], dict[str, Any]]
"""From an Optuna trial to hyperparameters by name."""

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SPACES: Registry[Space] = Registry(
    "space",
    "oplstm.spaces",
    {
        "sine-lstm": "search_spaces.sine:lstm",
        "sine-lstm-sequential": "search_spaces.sine:lstm_sequential",
        "sine-op-lstm": "search_spaces.sine:op_lstm",
        "sine-op-lstm-conventions": "search_spaces.sine:op_lstm_conventions",
        "sine-demo": "search_spaces.sine:demo",
        "sine-shots": "search_spaces.sine:shots",
        "image-lstm": "search_spaces.images:lstm",
        "image-lstm-conv4": "search_spaces.images:lstm_conv4",
        "image-op-lstm": "search_spaces.images:op_lstm",
        "omniglot-op-lstm": "search_spaces.images:op_lstm_omniglot",
        "omniglot-op-lstm-rates": "search_spaces.images:op_lstm_rates",
        "image-shots": "search_spaces.images:shots",
        "sine-maml": "search_spaces.maml:sine",
        "sine-maml-widths": "search_spaces.maml:sine_widths",
        "image-maml": "search_spaces.maml:images",
        "image-protonet": "search_spaces.others:protonet",
        "image-inner-steps": "search_spaces.others:inner_steps",
    },
    pattern=NAME,
)
"""What ships, and the entry points ``oplstm.spaces`` of installed packages."""


def find_space(name: str) -> Space:
    """The space of that name.

    Raises:
        ValueError: There is none; the message names the nearest.
    """
    if not is_own(name):
        if name in SPACES:
            return SPACES[name]
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
