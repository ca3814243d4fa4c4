"""The MLflow servers that this user has named: a folder of results alone cannot have records sent anywhere."""

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from oplstm.durable import write_file
from oplstm.errors import RequestError

VERSION: Final = 1


class KnownServers:
    """The file ``servers.json`` in the user's configuration; one that is broken counts as empty.

    It is in no home: a home may come from somebody else, as a whole. Where the user has no folder for configuration
    that can be written, nothing is remembered, and a server is named each time.

    Raises:
        RequestError: At each use, where a later version wrote the file.
    """

    def __init__(self) -> None:
        base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        self._path = Path(base) / "oplstm" / "servers.json" if os.path.isabs(base) else None

    def __contains__(self, uri: str) -> bool:
        return uri in self._read()

    def add(self, uri: str) -> None:
        """Remember a server that the user named; its URI holds no credentials."""
        known = self._read()
        if uri in known or self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps({"version": VERSION, "servers": [*known, uri]}, indent=1) + "\n")

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            version, found = data["version"], data["servers"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return []
        if type(version) is int and version > VERSION:
            raise RequestError(
                f"{self._path} has format version {version}, this oplstm reads {VERSION}: use the oplstm that wrote "
                "it, or remove it and name your servers again"
            )
        return [uri for uri in found if isinstance(uri, str)] if isinstance(found, list) else []
