"""Since when a server has not taken what it was given, and why: the file ``<journal>.silent``, while that is so."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from oplstm.durable import write_file

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Silence:
    """A server that does not take what it is given.

    Attributes:
        since: Of the first attempt that failed, in unix seconds.
        reason: Why the last one did, in one line.
    """

    since: float
    reason: str


class SilenceFile:
    """The file of one journal. Only its outbox writes it; it outlives a killed one.

    Args:
        path: It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, reason: str | None) -> None:
        """How the last attempt ended: why it failed, or None where it did not."""
        if reason is None:
            self._path.unlink(missing_ok=True)
            return
        known = self.read()
        silence = Silence(time.time() if known is None else known.since, reason)
        if silence != known:
            with contextlib.suppress(OSError):  # a full disk: reported elsewhere
                write_file(self._path, json.dumps({"version": VERSION, **asdict(silence)}))

    def read(self) -> Silence | None:
        """What is known; None where the server took what it was given last."""
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            return Silence(float(data["since"]), str(data["reason"])[:1000])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
