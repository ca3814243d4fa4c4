"""The journal: an append-only file of JSON lines, the single truth of a sweep.

The first line is the header; every other line is one group of records, a JSON list. A group is the unit of
writing: it is on disk whole or, after a crash, not at all.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from oplstm.durable import sync
from oplstm.errors import RequestError, WorkError
from tracking.journal.file_lock import FileLock, is_locked

__all__ = ["Journal", "check_header", "is_locked"]

VERSION: Final = 1
_HEADER: Final = json.dumps({"format": "oplstm-journal", "version": VERSION}).encode("ascii") + b"\n"
_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_SYNC_SECONDS: Final = 0.5
_BLOCK: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Line:
    """One group of records and the line that it stands in, from 1."""

    number: int
    records: list[dict[str, Any]]


class Journal:
    """One process's hold on a journal file. Safe to use from several threads.

    Args:
        path: The file; made, with its folders, if it is not there.

    Raises:
        RequestError: Another process owns the journal, or the file is of another format or version.
        WorkError: The file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path)
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _mend_tail(self._fd, path)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            self._lock.release()
            raise _write_failed(path, error) from error
        except BaseException:
            self._lock.release()
            raise
        self._mutex = threading.Lock()
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._broken: OSError | None = None
        self._syncer = threading.Thread(target=self._sync_in_groups, name="journal-sync", daemon=True)
        self._syncer.start()

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write `records` as one atomic group; it survives a kill at once and a power cut within a second.

        Each record gets "time" (unix seconds) unless it has one.

        Raises:
            ValueError: A float is not finite, or the journal is closed.
            WorkError: The group could not be written; the file is as it was before.
        """
        if not records:
            return
        now = time.time()
        group = [record if "time" in record else {**record, "time": now} for record in records]
        line = _ENCODER.encode(group).encode("ascii") + b"\n"
        with self._mutex:
            if self._fd < 0:
                raise ValueError(f"the journal {self.path} is closed")
            if self._broken is not None:
                raise _write_failed(self.path, self._broken)
            try:
                written = os.write(self._fd, line)
                if written < len(line):  # a disk that fills up takes a part and reports it at the next write
                    written += os.write(self._fd, line[written:])
                if written < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._take_back(self._size)
                raise _write_failed(self.path, error) from error
            self._size += len(line)
        if not self._dirty.is_set():
            self._dirty.set()

    def sync(self) -> None:
        """Return when all that was appended is on the disk."""
        self._dirty.clear()
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _write_failed(self.path, error) from error

    def close(self) -> None:
        """Sync, and give up the file. Calling it again does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._dirty.set()
        self._syncer.join()
        with self._mutex:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd = -1
                self._lock.release()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_back(self, size: int) -> None:
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            self._broken = error  # another group must not follow half a one

    def _sync_in_groups(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            if self._closing.wait(_SYNC_SECONDS):
                return
            self._dirty.clear()
            try:
                os.fsync(self._fd)
            except OSError as error:
                self._broken = error
                return

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Any]]:
        """All records, oldest first; see ``lines``."""
        for line in Journal.lines(path):
            yield from line.records

    @staticmethod
    def lines(path: Path) -> "Iterator[Line]":
        """All groups of records, oldest first, without taking the lock; a torn last line is left out.

        Raises:
            RequestError: There is no such file, or it is of another format or version.
            WorkError: A line before the last is damaged.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise RequestError(f"cannot read the journal {path}: {error.strerror}") from error
        with file:
            header = file.readline()
            if not header.endswith(b"\n"):
                return
            check_header(header, path)
            for number, line in enumerate(file, start=2):
                if not line.endswith(b"\n"):
                    return
                try:
                    group = json.loads(line)
                except ValueError:
                    if file.read(1) == b"":
                        return
                    raise WorkError(f"{path}, line {number} is damaged: restore the file from a copy") from None
                yield Line(number, group)


def check_header(line: bytes, path: Path) -> None:
    """Raise RequestError unless `line` is the header of a journal that this version reads."""
    try:
        header = json.loads(line)
        known = header["format"] == "oplstm-journal"
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise RequestError(f"{path} is not a journal: its first line is not the header of one")
    if header.get("version") != VERSION:
        raise RequestError(
            f"{path} is a journal of version {header.get('version')}, this oplstm reads version {VERSION}: "
            "use the oplstm that wrote it"
        )


def _mend_tail(fd: int, path: Path) -> None:
    """Write or check the header, drop what a crash left half-written at the end."""
    size = os.fstat(fd).st_size
    head = os.pread(fd, _BLOCK, 0)
    if b"\n" not in head:
        if not _HEADER.startswith(head):
            raise RequestError(f"{path} is not a journal: its first line is not the header of one")
        os.ftruncate(fd, 0)
        if os.write(fd, _HEADER) < len(_HEADER):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
        sync(path.parent)
        return
    check_header(head[: head.index(b"\n") + 1], path)
    header_end = head.index(b"\n") + 1
    end = _end_of_last_line(fd, size, header_end)
    while end > header_end:
        start = _end_of_last_line(fd, end - 1, header_end)
        try:
            json.loads(os.pread(fd, end - start, start))
            break
        except ValueError:
            end = start
    if end < size:
        os.ftruncate(fd, end)


def _end_of_last_line(fd: int, before: int, floor: int) -> int:
    """The offset just after the last newline in [floor, before), or `floor` when there is none."""
    while before > floor:
        start = max(floor, before - _BLOCK)
        found = os.pread(fd, before - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        before = start
    return floor


def _write_failed(path: Path, error: OSError) -> WorkError:
    return WorkError(
        f"cannot write the journal {path}: {error.strerror}. "
        "Free some space or mend the disk, then resume: nothing before this point is lost"
    )
