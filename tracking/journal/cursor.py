"""How far a journal has been shipped to MLflow: the file `<journal>.shipped`."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from oplstm.durable import write_file

VERSION: Final = 1


@dataclass(slots=True)
class Cursor:
    """What has been shipped.

    Attributes:
        offset: Bytes of the journal that are done with.
        records: Number of track records among them.
        runs: The MLflow run id of every key that has a run.
        doubtful: Keys whose creation the server may have carried out twice, and until when to look (unix seconds).
        deferred: Records before `offset` whose upload failed and will be tried again.
    """

    offset: int = 0
    records: int = 0
    runs: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, float] = field(default_factory=dict)
    deferred: list[dict[str, Any]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Replace the file at `path` in one step."""
        state = {one.name: getattr(self, one.name) for one in fields(self)}
        write_file(path, json.dumps({"version": VERSION, **state}))  # json.dump takes ten times as long

    @classmethod
    def load(cls, path: Path) -> "Cursor":
        """The cursor at `path`, or a new one when none can be read: shipping anew changes nothing in MLflow."""
        try:
            state = json.loads(path.read_text(encoding="ascii"))
            if state.pop("version") != VERSION:
                return cls()
            return cls(**state)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls()
