"""How far a journal has been shipped to MLflow: the file `<journal>.shipped`."""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from oplstm.durable import write_file
from tracking.outbox.decoding import decode
from tracking.outbox.names import checked_key
from tracking.outbox.records import Artifact, LearningCurve

VERSION: Final = 3
_READ: Final = (1, 2, 3)  # version 1 had no "deleted", and 1 and 2 no checksum
_CHECKSUM: Final = ', "crc32": "'
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][\w-]{0,255}", re.ASCII)

Upload = Artifact | LearningCurve


@dataclass(slots=True)
class Cursor:
    """What has been shipped.

    Attributes:
        offset: Bytes of the journal that are done with.
        records: Number of track records among them.
        runs: The MLflow run id of every key that has a run.
        doubtful: Keys whose creation the server may have carried out twice, and until when to look (unix seconds).
        deferred: Records before `offset` whose upload failed and will be tried again.
        deleted: Keys whose run a user had deleted in MLflow, when this was last looked at.
    """

    offset: int = 0
    records: int = 0
    runs: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, float] = field(default_factory=dict)
    deferred: list[Upload] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Replace the file at `path` in one step."""
        state = {
            "version": VERSION,
            "offset": self.offset,
            "records": self.records,
            "runs": self.runs,
            "doubtful": self.doubtful,
            "deferred": [record.encode() for record in self.deferred],
            "deleted": self.deleted,
        }
        text = json.dumps(state)[:-1]  # json.dump takes ten times as long
        write_file(path, text + _stating(text))

    @classmethod
    def load(cls, path: Path) -> "Cursor":
        """The cursor at `path`, or a new one when none can be read: shipping anew changes nothing in MLflow."""
        try:
            text = path.read_text(encoding="ascii")
            state = json.loads(text)
            if state["version"] >= 3 or "crc32" in state:
                before = text.rpartition(_CHECKSUM)[0]
                if text != before + _stating(before):
                    return cls()
            return cls._decode(state)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls()

    @classmethod
    def _decode(cls, state: Mapping[str, Any]) -> "Cursor":
        if state["version"] not in _READ:
            raise ValueError("another version")
        return cls(
            offset=_count(state["offset"]),
            records=_count(state["records"]),
            runs={checked_key(key): _run_id(run_id) for key, run_id in state["runs"].items()},
            doubtful={checked_key(key): float(until) for key, until in state["doubtful"].items()},
            deferred=[_upload(record) for record in state["deferred"]],
            deleted=[checked_key(key) for key in state.get("deleted", [])],
        )


def cursor_path(journal: Path) -> Path:
    """Where the cursor of a journal is kept."""
    return journal.with_name(journal.name + ".shipped")


def ship_again(journal: Path) -> None:
    """Let a journal that nobody ships be shipped from its beginning, whatever was shipped of it.

    What is in doubt remains it: a creation that was given up may be carried out still.
    """
    path = cursor_path(journal)
    if path.exists():
        Cursor(doubtful=Cursor.load(path).doubtful).save(path)


def _stating(text: str) -> str:
    """The end of a cursor's file, with the checksum of what stands before."""
    return f'{_CHECKSUM}{zlib.crc32(text.encode("ascii")):08x}"}}'


def _count(value: int) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _run_id(text: str) -> str:
    if not _RUN_ID.fullmatch(text):
        raise ValueError(f"{text!r} is no run id")
    return text


def _upload(data: Mapping[str, Any]) -> Upload:
    record = decode(data)
    if not isinstance(record, Upload):
        raise ValueError("it is no upload")
    return record
