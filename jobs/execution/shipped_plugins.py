"""Plug-ins on their way to another process: unpickling them imports them, so they come before what is made of them."""

import functools
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from jobs.jobfile.plugins import Code, PluginSource, find_code, load_code
from oplstm.errors import RequestError

LARGEST: Final = 4 << 20
"""Bytes of a plug-in's code that are sent along; a larger one has to be where the other process is."""


@dataclass(frozen=True)
class ShippedCode:
    """The code of a plug-in, to be imported on a machine that may not have it.

    Attributes:
        code: Where it lies here.
        sha256: Of it.
        files: Paths within ``code.folder`` and contents; none of too large a plug-in.
    """

    code: Code
    sha256: str
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class ShippedPlugins:
    """The plug-ins of a sweep. A dataclass that is to be unpickled in another process has them as its first field.

    Attributes:
        codes: Of each.
    """

    codes: tuple[ShippedCode, ...] = ()

    @classmethod
    def of(cls, sources: Sequence[PluginSource]) -> "ShippedPlugins":
        """Those of a sweep that this process has imported; installed packages have to be installed everywhere."""
        return cls(tuple(_shipped(find_code(source.plugin)) for source in sources if source.package is None))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return received, (self.codes,)


def _shipped(code: Code) -> ShippedCode:
    files = tuple((str(file), (code.folder / file).read_bytes()) for file in code.files)
    size = sum(len(content) for _, content in files)
    return ShippedCode(code, code.sha256, files if size <= LARGEST else ())


def received(codes: tuple[ShippedCode, ...]) -> ShippedPlugins:
    """Import plug-ins that were sent to this process.

    Raises:
        RequestError: One is not found as it was and was too large to be sent, or fails.
    """
    for shipped in codes:
        load_code(_here(shipped))
    return ShippedPlugins(codes)


def _here(shipped: ShippedCode) -> Code:
    """The code as it lies on this machine, or where it was written just now."""
    code = shipped.code
    if all((code.folder / file).is_file() for file in code.files):
        _look_in(code)
        if code.sha256 == shipped.sha256:
            return code
    if not shipped.files:
        raise RequestError(f"plug-in {code.path} is not here as it was where the sweep began, and too large to be sent")
    here = replace(code, folder=_written(shipped), path=_written(shipped) / code.path.relative_to(code.folder))
    _look_in(here)
    return here


@functools.cache
def _written(shipped: ShippedCode) -> Path:
    """A folder of this process's own with the code in it."""
    folder = tempfile.TemporaryDirectory(prefix="oplstm-plugin-")
    _folders.append(folder)
    for name, content in shipped.files:
        path = Path(folder.name) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Path(folder.name)


_folders: "list[tempfile.TemporaryDirectory[str]]" = []
"""They are gone when the process ends."""


def _look_in(code: Code) -> None:
    """Let Python find a plug-in that is named as a module."""
    if code.plugin == code.module and str(code.folder) not in sys.path:
        sys.path.append(str(code.folder))
