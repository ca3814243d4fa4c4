"""Where a sweep's folder is, so that a copy of it is told apart from the original."""

import functools
import hashlib
import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StrictStr
from pydantic.dataclasses import dataclass

_MACHINE_ID: Final = Path("/etc/machine-id")


@dataclass(frozen=True)
class Place:
    """A folder on a disk of a machine.

    Attributes:
        node: Name of the machine.
        machine: What tells it from others of the same name; empty where nothing does.
        path: Of the folder, absolute.
        inode: Of the folder: it stays when the folder is renamed, and where a shared disk is mounted elsewhere.
    """

    node: StrictStr
    machine: StrictStr
    path: Annotated[StrictStr, Field(max_length=5000)]
    inode: Annotated[int, Field(strict=True, ge=0)]

    @classmethod
    def of(cls, folder: Path, *, becomes: Path | None = None) -> "Place":
        """That of a folder, which may still have another name than the one that it ``becomes``."""
        path = str((becomes or folder).resolve()).encode("utf-8", "replace").decode()
        return cls(os.uname().nodename, _machine(), path, folder.stat().st_ino)

    def is_of(self, folder: Path) -> bool:
        """Whether the sweep that was here is the one in a folder, and not a copy of it.

        On the same machine it is unless a sweep still stands here; on another one the folder must be the very same, on
        a disk that both share.
        """
        now = Place.of(folder)
        if (self.node, self.machine) != (now.node, now.machine):
            return self.inode == now.inode
        original = Path(self.path)
        try:
            return not (original / "sweep.json").exists() or original.samefile(folder)
        except (OSError, ValueError):  # somebody else's, who keeps it closed
            return False


@functools.cache
def _machine() -> str:
    try:
        found = _MACHINE_ID.read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(b"oplstm" + found).hexdigest()[:16]  # the id itself is nobody's business
