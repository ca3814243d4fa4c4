"""What runs of one method must have in common to share a pack."""

import dataclasses
from collections.abc import Hashable

from oplstm.configuration import Configuration

VARIES = {"varies": True}
"""Field metadata of hyperparameters in which runs of one pack may differ: the real-valued ones, and T."""


def signature(config: Configuration) -> Hashable:
    """The static fields of a configuration: what runs must have in common to share a pack."""
    static = (f.name for f in dataclasses.fields(config) if not f.metadata.get("varies"))
    return type(config).__name__, tuple((name, getattr(config, name)) for name in static)
