"""Reads a journal from its beginning."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from oplstm.errors import RequestError
from tracking.journal.checksums import MARK, Chain, stated
from tracking.journal.format import VERSION, Json, begins_header, checked_version, damaged, not_a_journal


@dataclass(frozen=True, slots=True)
class Line:
    """One group of records.

    Attributes:
        number: Of its line in the file; the header is line 1.
        records: The group.
    """

    number: int
    records: tuple[dict[str, Json], ...]


class Scan:
    """Goes once through the lines of a journal, and sees that they are as they were written.

    Args:
        file: The journal, at its beginning.
        path: Of it.

    Attributes:
        header: The first line; empty where the file ends before it does.
        version: That the header names.
        number: Of the line that was given last.
        end: The offset after it.
        chain: The checksums up to there.
    """

    def __init__(self, file: BufferedReader, path: Path) -> None:
        self._file, self._path = file, path
        self.header, self.version, self.number, self.end = b"", VERSION, 1, 0
        self.chain = Chain(0, begun=False)

    def groups(self) -> Iterator[bytes]:
        """The lines after the header, without what a crash or a power cut left of the last.

        Raises:
            RequestError: The file is of another format or version.
            WorkError: A line is damaged.
        """
        header = self._file.readline()
        if not header.endswith(b"\n"):
            if not begins_header(header):
                raise not_a_journal(self._path)
            return
        self.version = checked_version(header, self._path)
        self.header, self.end, self.chain = header, len(header), Chain.after_header(header)
        for line in self._file:
            problem = self._problem(line)
            if problem is not None:
                if self._is_torn(line):
                    return
                raise damaged(self._path, self.number + 1, problem)
            self.number, self.end = self.number + 1, self.end + len(line)
            yield line

    def _problem(self, line: bytes) -> str | None:
        if not line.endswith(b"\n"):
            return "its end of line was changed"
        old = not self.chain.begun and stated(line) is None
        if old and not self._file.peek(1) and group_in(line, sealed=False) is None:
            return "it is cut off"
        return self.chain.follow(line)

    def _is_torn(self, line: bytes) -> bool:
        """Whether a bad line and all that follows is what remained of writing it: a part, or blocks of zeros."""
        rest = line + self._file.read()
        if b"\0\0" in rest:
            return all(b"\0\0" in one or stated(one) is None for one in rest.splitlines(keepends=True))
        if line.endswith(b"\n"):
            return rest == line and not self.chain.begun and stated(line) is None and not line.startswith(MARK[:-1])
        return stated(line[:-1] + b"\n") is None or line.endswith(b"\0")


def read_lines(path: Path) -> Iterator[Line]:
    """All groups, oldest first, without taking the lock; a torn last line is left out.

    Raises:
        RequestError: There is no such file, or it is of another format or version.
        WorkError: A line is damaged, and is not what a crash left of the last.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise RequestError(f"cannot read the journal {path}: {error.strerror}") from error
    with file:
        scan = Scan(file, path)
        for line in scan.groups():
            group = group_in(line, sealed=scan.chain.begun)
            if group is None:
                raise damaged(path, scan.number, "it is no list of records")
            if not line.startswith(MARK[:-1]):
                yield Line(scan.number, group)


def group_in(line: bytes, *, sealed: bool) -> tuple[dict[str, Json], ...] | None:
    """The records in a line, which ends with a checksum or not; None where it is no list of records."""
    try:
        group = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(group, list):
        return None
    if sealed:
        del group[-1:]
    return tuple(group) if all(isinstance(record, dict) for record in group) else None
