"""Reads the track records that follow a place in a growing journal, and counts them."""

import json
import os
from pathlib import Path
from typing import Final

from tracking.journal.format import JsonObject

_CHUNK: Final = 1 << 22
_MAX_RECORDS: Final = 10_000


class JournalTail:
    """Follows one journal. Needs no lock of the journal's writer; is not thread-safe itself.

    Args:
        path: The journal; it may not exist yet.
        offset: Where counting begins, in bytes.
        counted: Number of track records before `offset`.
    """

    def __init__(self, path: Path, offset: int, counted: int) -> None:
        self._path = path
        self._counted_to = offset
        self._counted = counted

    def count(self) -> int:
        """Number of track records in the whole journal."""
        while True:
            lines, end = self._lines(self._counted_to)
            if end == self._counted_to:
                return self._counted
            self._counted += sum(map(_track_count, lines))
            self._counted_to = end

    def read(self, offset: int) -> tuple[list[JsonObject], int, int]:
        """The next track records after `offset`, whole groups, on the disk for good.

        Returns:
            The records, the offset after the last group read, and how many ``count`` counts between the two.
        """
        # Shipped is for ever, so a power cut must not be able to take it from the journal.
        lines, _ = self._lines(offset, durable=True)
        records: list[JsonObject] = []
        count = 0
        for line in lines:
            records.extend(_track_records(line))
            count += _track_count(line)
            offset += len(line)
            if len(records) >= _MAX_RECORDS:
                break
        return records, offset, count

    def is_through(self, offset: int) -> bool:
        """Whether so little follows `offset` that it can wait for more to come."""
        return self._size() - offset < _CHUNK // 8

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def _lines(self, offset: int, *, durable: bool = False) -> tuple[list[bytes], int]:
        if self._size() <= offset:
            return [], offset
        with self._path.open("rb") as file:
            if durable:
                os.fsync(file.fileno())
            file.seek(offset)
            block = file.read(_CHUNK)
            while b"\n" not in block and (more := file.read(_CHUNK)):
                block += more
        end = block.rfind(b"\n") + 1
        return block[:end].splitlines(keepends=True), offset + end


def _track_count(line: bytes) -> int:
    """How many of a line's records are track records, by its text: training waits for this, and JSON takes time."""
    return line.count(b'"kind":"track"')


def _track_records(line: bytes) -> list[JsonObject]:
    """Those of a line, among them the events of version 1 that are track records too; none of the header."""
    try:
        group = json.loads(line)
    except (ValueError, RecursionError):
        return []  # the journal's reader reports the damage
    if not isinstance(group, list):
        return []
    return [record for record in group if isinstance(record, dict) and record.get("kind") == "track"]
