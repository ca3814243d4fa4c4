"""What this user has named, in files of the user's configuration: a folder of results alone cannot make it used."""

import contextlib
import json
import os
from pathlib import Path
from typing import ClassVar, Final

from oplstm.durable import write_file
from oplstm.errors import RequestError

VERSION: Final = 1


class Known:
    """A file in the user's configuration; one that is broken counts as empty.

    It is in no home: a home may come from somebody else, as a whole. Where the user has no folder for configuration
    that can be written, nothing is remembered, and all is named each time.

    Raises:
        RequestError: At each use, where a later version wrote the file.
    """

    what: ClassVar[str]
    """What it holds; the file is named for it."""

    def __init__(self) -> None:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        self._path = Path(base) / "oplstm" / f"{self.what}.json" if os.path.isabs(base) else None

    def __contains__(self, entry: str) -> bool:
        return entry in self._read()

    def add(self, entry: str) -> None:
        """Remember what the user named; it holds no credentials."""
        known = self._read()
        if entry in known or self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps({"version": VERSION, self.what: [*known, entry]}, indent=1) + "\n")

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            version, found = data["version"], data[self.what]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
        if type(version) is int and version > VERSION:
            raise RequestError(
                f"{self._path} has format version {version}, this oplstm reads {VERSION}: use the oplstm that wrote "
                f"it, or remove it and name your {self.what} again"
            )
        return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


class KnownPlugins(Known):
    """The plug-ins that this user has named, by the paths of their files, in ``plugins.json``."""

    what = "plugins"
