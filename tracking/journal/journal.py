"""The journal: an append-only file of JSON lines, the single truth of a sweep.

The first line is the header; every other line is one group of records, a JSON list that ends with the line's
checksum. A group is the unit of writing: it is on disk whole or, after a crash, not at all.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from oplstm.errors import WorkError
from tracking.journal.checksums import sealed
from tracking.journal.file_lock import FileLock
from tracking.journal.format import Json, JsonObject
from tracking.journal.opening import open_for_appending
from tracking.journal.reading import Line, read_lines

_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_SYNC_SECONDS: Final = 0.5


class Journal:
    """One process's hold on a journal file. Safe to use from several threads.

    Args:
        path: The file; made, with its folders, if it is not there. One of an older version is brought to today's.

    Raises:
        RequestError: Another process owns the journal, or the file is of another format or version.
        WorkError: The file is damaged, or cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path)
        try:
            self._fd, self._checksum = open_for_appending(path)
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
        self._torn: OSError | None = None  # half a group stands at the end: another must not follow it
        self._lost: OSError | None = None  # a sync failed, and a later one that succeeds would say nothing about it
        self._syncer = threading.Thread(target=self._sync_in_groups, name="journal-sync", daemon=True)
        self._syncer.start()

    def append(self, records: Sequence[JsonObject]) -> None:
        """Write `records` as one atomic group; it survives a kill at once and a power cut within a second.

        Each record gets "time" (unix seconds) unless it has one.

        Raises:
            ValueError: A float is not finite, or the journal is closed.
            WorkError: The group could not be written, and the file is as it was before; or an earlier one was lost.
        """
        if not records:
            return
        now = time.time()
        group = [record if "time" in record else {**record, "time": now} for record in records]
        text = _ENCODER.encode(group).encode("ascii")
        with self._mutex:
            if self._fd < 0:
                raise ValueError(f"the journal {self.path} is closed")
            if self._lost is not None:
                raise _sync_failed(self.path, self._lost)
            if self._torn is not None:
                raise _write_failed(self.path, self._torn)
            line, checksum = sealed(text, self._checksum)
            try:
                written = os.write(self._fd, line)
                if written < len(line):  # a disk that fills up takes a part and reports it at the next write
                    written += os.write(self._fd, line[written:])
                if written < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._take_back(self._size)
                raise _write_failed(self.path, error) from error
            self._size, self._checksum = self._size + len(line), checksum
        if not self._dirty.is_set():
            self._dirty.set()

    def sync(self) -> None:
        """Return when all that was appended is on the disk.

        Raises:
            WorkError: It is not, or something that was appended earlier is not.
        """
        self._fsync()
        if self._lost is not None:
            raise _sync_failed(self.path, self._lost) from self._lost

    def close(self) -> None:
        """Sync, and give up the file. Calling it again does nothing.

        Raises:
            WorkError: As `sync`; the file is given up all the same.
        """
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
            self._torn = error

    def _sync_in_groups(self) -> None:
        while self._lost is None:
            self._dirty.wait()
            if self._closing.wait(_SYNC_SECONDS):
                return
            self._dirty.clear()
            if self._closing.is_set():  # it came between these lines, and what it had set was cleared
                return
            self._fsync()

    def _fsync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._lost = self._lost or error

    @staticmethod
    def lines(path: Path) -> Iterator[Line]:
        """All groups of records with their places, oldest first, without taking the lock.

        Raises:
            RequestError: There is no such file, or it is of another format or version.
            WorkError: A line is damaged, and is not what a crash left of the last; the message names it.
        """
        return read_lines(path)

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Json]]:
        """The records of all `lines`, with the same errors."""
        return (record for line in read_lines(path) for record in line.records)


def _write_failed(path: Path, error: OSError) -> WorkError:
    return WorkError(
        f"cannot write the journal {path}: {error.strerror}. "
        "Free some space or mend the disk, then resume: nothing before this point is lost"
    )


def _sync_failed(path: Path, error: OSError) -> WorkError:
    return WorkError(
        f"cannot write the journal {path}: {error.strerror}. "
        "Mend the disk, then resume: what was written last may be lost"
    )
