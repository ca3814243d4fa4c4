"""Pack sizes that were measured on a device, remembered in ``$OPLSTM_HOME/pack-sizes.json``."""

import contextlib
import json
from pathlib import Path

from oplstm.durable import write_file
from oplstm.errors import RequestError, WorkError
from tracking.journal.file_lock import FileLock

VERSION = 2
"""1 had no ``updates``, and is read."""
LOCK_SECONDS = 5.0


class PackSizes:
    """The file. One that is broken counts as empty and is written anew; one of a later version is left alone.

    Args:
        path: It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key: str, limit: int, *, updates: int) -> int | None:
        """The size remembered for a key; None if there is none that holds.

        Args:
            key: Of runs, device and versions.
            limit: How many runs there are; None if larger packs were of no use then and are now.
            updates: Of all of them together; None if measuring was cut short for fewer.
        """
        entry = self._read().get(key)
        if entry is None or (entry["size"] >= entry["limit"] and limit > entry["limit"]):
            return None
        return None if updates > entry.get("updates", updates) else entry["size"]

    def remember(self, key: str, size: int, limit: int, *, updates: int | None = None) -> None:
        """Add an entry. Where that cannot be written, the next one measures again.

        Args:
            key: Of runs, device and versions.
            size: Runs in a pack.
            limit: More runs were of no use.
            updates: It holds where no more than these are to be made; everywhere by default.
        """
        try:
            lock = FileLock(self._path, patience=LOCK_SECONDS)
        except (RequestError, WorkError):
            return
        try:
            if self.later_version() is not None:
                return
            holds = {} if updates is None else {"updates": updates}
            sizes = self._read() | {key: {"size": size, "limit": limit, **holds}}
            with contextlib.suppress(OSError):
                write_file(self._path, json.dumps({"version": VERSION, "sizes": sizes}, indent=1) + "\n")
        finally:
            lock.release()

    def entries(self) -> dict[str, dict[str, int]]:
        """All of them, by their keys, as ``remember`` takes them."""
        return self._read()

    def later_version(self) -> str | None:
        """What there is to say of a file that a later oplstm wrote."""
        try:
            version = json.loads(self._path.read_text())["version"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if type(version) is not int or version <= VERSION:
            return None
        return f"{self._path} has format version {version}, this oplstm reads {VERSION}"

    def _read(self) -> dict[str, dict[str, int]]:
        try:
            data = json.loads(self._path.read_text())
            sizes: dict[str, dict[str, int]] = data["sizes"] if data["version"] in (1, VERSION) else {}
            for entry in sizes.values():
                if not all(type(entry[name]) is int and entry[name] >= 1 for name in {"size", "limit", *entry}):
                    return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return sizes
