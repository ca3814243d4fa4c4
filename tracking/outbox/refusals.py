"""What MLflow refused for good, and why: the file `<journal>.refused`, a JSON line each."""

import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from oplstm.durable import sync

VERSION: Final = 2  # lines without a version hold the refused record, or what was left of it, under "record"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something in a journal that MLflow does not show and never will.

    Attributes:
        key: Of the run.
        op: The track record's operation; "metric", "param" or "tag" for one of a record's values, "values" for all of
            several records; "run" for a run that was deleted.
        reason: One line.
        count: How many records or values it stands for.
        time: When it was found, in unix seconds.
    """

    key: str
    op: str
    reason: str
    count: int = 1
    time: float = field(default_factory=time.time)


class RefusedFile:
    """The file of one journal. Only its outbox adds to it.

    Args:
        path: The file; it may not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsaved: list[Refusal] = []

    def add(self, refusal: Refusal) -> None:
        """Remember a refusal until `save`."""
        self._unsaved.append(refusal)

    def discard(self) -> None:
        """Forget what was added and not saved: it will be shipped, and refused, again."""
        self._unsaved.clear()

    def save(self) -> None:
        """Write what was added, durably.

        Raises:
            OSError: It could not be written; it is still remembered.
        """
        if not self._unsaved:
            return
        lines = [json.dumps({"version": VERSION, **asdict(refusal)}) + "\n" for refusal in self._unsaved]
        is_new = not self._path.exists()
        with self._path.open("ab") as file:
            # what a crash left of a line must not swallow the next one
            file.write("".join(["\n", *lines]).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync(self._path.parent)
        self._unsaved.clear()

    def clear(self) -> None:
        """Forget them all: the journal is shipped anew, and what is refused again is added again."""
        self._unsaved.clear()
        self._path.unlink(missing_ok=True)

    def read(self) -> list[Refusal]:
        """All refusals, oldest first; those of one run, operation and reason as one."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found: dict[tuple[str, str, str], Refusal] = {}
        for line in lines:
            if (one := _decode(line)) is not None:
                alike = (one.key, one.op, one.reason)
                found[alike] = replace(one, count=one.count + found[alike].count) if alike in found else one
        return list(found.values())


def _decode(line: str) -> Refusal | None:
    try:
        data: dict[str, Any] = json.loads(line)
        what = data if data.get("version") == VERSION else data["record"]
        return Refusal(
            key=str(what.get("key", "")),
            op=str(what.get("op", "")),
            reason=str(data["reason"]),
            count=int(what.get("count", 1)),
            time=float(data["time"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # blank, or torn by a crash
