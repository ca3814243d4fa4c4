"""Which process is a home's MLflow server: the file `server.json` in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from oplstm.durable import write_file

VERSION: Final = 1
_NAME: Final = "server.json"


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """A server that was started.

    Attributes:
        pid: Its process id, which is also its process group's.
        port: On the loopback interface.
        started: Unix seconds.
    """

    pid: int
    port: int
    started: float

    @property
    def uri(self) -> str:
        """Its tracking URI."""
        return f"http://127.0.0.1:{self.port}"

    def save(self, folder: Path) -> None:
        """Replace the file of a server's folder."""
        write_file(folder / _NAME, json.dumps({"version": VERSION, **asdict(self), "uri": self.uri}))

    @classmethod
    def load(cls, folder: Path) -> "ServerRecord | None":
        """What the file says; None where there is none, or one that cannot be a server's."""
        try:
            data = json.loads((folder / _NAME).read_text(encoding="ascii"))
            record = cls(pid=int(data["pid"]), port=int(data["port"]), started=float(data["started"]))
            usable = data["version"] == VERSION and record.pid > 1 and 0 < record.port < 1 << 16
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None
        return record if usable else None

    @staticmethod
    def remove(folder: Path) -> None:
        """Delete the file."""
        (folder / _NAME).unlink(missing_ok=True)
