"""Reads the track records that follow a place in a growing journal, and counts them."""

import os
from pathlib import Path
from typing import Final

from tracking.journal.checksums import LENGTH, Chain, stated
from tracking.journal.format import JsonObject
from tracking.journal.reading import Scan, group_in

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

        Raises:
            WorkError: The next line is damaged: nothing that was changed is shipped.
        """
        # Shipped is for ever, so a power cut must not be able to take it from the journal.
        lines, _ = self._lines(offset, durable=True)
        records: list[JsonObject] = []
        count = 0
        chain = self._chain_at(offset) if lines else None
        for line in lines:
            if chain is None:
                chain = Chain.after_header(line)
            elif chain.follow(line) is not None:
                if not records:
                    self._check()
                break
            records.extend(_track_records(line, sealed=chain.begun))
            count += _track_count(line)
            offset += len(line)
            if len(records) >= _MAX_RECORDS:
                break
        return records, offset, count

    def begins_line(self, offset: int) -> bool:
        """Whether ``offset`` is where a line begins, as is any to which this journal was ever read."""
        if offset == 0 or not self._path.exists():
            return True
        with self._path.open("rb") as file:
            file.seek(offset - 1)
            return file.read(1) == b"\n"

    def is_through(self, offset: int) -> bool:
        """Whether so little follows `offset` that it can wait for more to come."""
        return self._size() - offset < _CHUNK // 8

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def _chain_at(self, offset: int) -> Chain | None:
        """The checksums up to ``offset``; None at the beginning."""
        if offset == 0:
            return None
        with self._path.open("rb") as file:
            file.seek(max(0, offset - LENGTH))
            if (checksum := stated(file.read(LENGTH))) is not None:
                return Chain(checksum, begun=True)
            file.seek(0)
            first = file.readline()
            if file.tell() >= offset:  # read when there was nothing else yet
                return Chain.after_header(first)
            file.seek(0)
            scan = Scan(file, self._path)  # among lines without checksums
            for _ in scan.groups():
                if scan.end >= offset:
                    break
            return scan.chain

    def _check(self) -> None:
        with self._path.open("rb") as file:
            for _ in Scan(file, self._path).groups():
                pass

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


def _track_records(line: bytes, *, sealed: bool) -> list[JsonObject]:
    """Those of a line, among them the events of version 1 that are track records too; none of the header."""
    # of a line that is no group the journal's reader reports the damage
    return [record for record in group_in(line, sealed=sealed) or () if record.get("kind") == "track"]
