"""Users' own code, ``package.module:function`` or a module: which names are such, where it lies. Runs none of it."""

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


def is_own(name: str) -> bool:
    """Whether the name is that of a user's own function, ``package.module:function``."""
    return ":" in name


def look_in_working_directory() -> None:
    """Let modules be found where a user's lie; an installed command looks in its own folder instead."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


@dataclass(frozen=True)
class Sources:
    """The files that an import of a user's own module runs, links in their paths as they are.

    Attributes:
        packages: The packages that the module is in, outermost first; one without ``__init__.py`` runs nothing.
        module: The module.
    """

    packages: tuple[Path, ...]
    module: Path


def sources_of(name: str) -> Sources | None:
    """Where the code of a user's own space, or module, lies, found as an import finds it and without running any of it.

    Returns:
        The files, or None where an import would find no module, or one that has no file.
    """
    look_in_working_directory()
    path: Sequence[str] | None = None
    files: list[Path | None] = []
    parts = name.partition(":")[0].split(".")
    for count in range(1, len(parts) + 1):
        if (count > 1 and path is None) or (spec := _found(".".join(parts[:count]), path)) is None:
            return None
        path = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
        files.append(Path(spec.origin).absolute() if spec.origin is not None and spec.has_location else None)
    *packages, module = files
    return None if module is None else Sources(tuple(file for file in packages if file is not None), module)


def _found(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """What an import finds, without the packages around it being imported first."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        # Within a folder by the last part of the name: for a namespace in another, PathFinder wants the other imported.
        asked = name.rpartition(".")[2] if finder is PathFinder and path is not None else name
        found: ModuleSpec | None = None
        with contextlib.suppress(KeyError):  # of other finders that ask PathFinder
            found = None if find is None else find(asked, path)
        if found is not None:
            return found
    return None
