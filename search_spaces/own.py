"""Users' own spaces, ``package.module:function``: which names are such, and where their code lies. Runs none of it."""

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def is_own(name: str) -> bool:
    """Whether the name is that of a user's own function, ``package.module:function``."""
    return ":" in name


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
