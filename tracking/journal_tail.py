"""Reads the track records that follow a place in a growing journal, and counts them."""

import json
import os
from pathlib import Path
from typing import Any, Final

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
            self._counted += sum(len(_track_records(line)) for line in lines)
            self._counted_to = end

    def read(self, offset: int) -> tuple[list[dict[str, Any]], int, int]:
        """The next track records after `offset`, whole groups, on the disk for good.

        Returns:
            The records, the offset after the last group read, and the number of records.
        """
        # Shipped is for ever, so a power cut must not be able to take it from the journal.
        lines, end = self._lines(offset, durable=True)
        records: list[dict[str, Any]] = []
        for line in lines:
            records.extend(_track_records(line))
            offset += len(line)
            if len(records) >= _MAX_RECORDS:
                return records, offset, len(records)
        return records, end, len(records)

    def _lines(self, offset: int, *, durable: bool = False) -> tuple[list[bytes], int]:
        try:
            size = os.stat(self._path).st_size
        except FileNotFoundError:
            return [], offset
        if size <= offset:
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


def _track_records(line: bytes) -> list[dict[str, Any]]:
    try:
        group = json.loads(line)
    except ValueError:
        return []  # the journal's reader reports the damage
    return [record for record in group if record.get("kind") == "track"] if isinstance(group, list) else []  # header
