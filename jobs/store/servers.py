"""The MLflow servers that the user of a home has named: a sweep's folder alone cannot have records sent anywhere."""

import json
from pathlib import Path
from typing import Final

from oplstm.durable import write_file

VERSION: Final = 1


class KnownServers:
    """The file ``$OPLSTM_HOME/servers.json``; one that cannot be read counts as empty.

    Args:
        home: The home's folder.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "servers.json"

    def __contains__(self, uri: str) -> bool:
        return uri in self._read()

    def add(self, uri: str) -> None:
        """Remember a server that the user named; its URI holds no credentials."""
        known = self._read()
        if uri not in known:
            write_file(self._path, json.dumps({"version": VERSION, "servers": [*known, uri]}, indent=1) + "\n")

    def _read(self) -> list[str]:
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            found = data["servers"] if data["version"] == VERSION else []
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [uri for uri in found if isinstance(uri, str)] if isinstance(found, list) else []
