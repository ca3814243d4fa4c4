"""Opens a journal for writing: begins it, mends what a crash left of it, and brings an old one to today's version."""

import errno
import json
import os
from pathlib import Path
from typing import Final

from oplstm.durable import sync
from tracking.journal.format import VERSION, begins_header, checked_version, header, not_a_journal, upgraded

_BLOCK: Final = 1 << 16


def open_for_appending(path: Path) -> int:
    """A descriptor that appends to the journal, which is made if it is not there. Its lock must be held.

    Raises:
        RequestError: The file is of another format or version; it is left alone.
        OSError: It cannot be opened or written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _mend(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mend(descriptor: int, path: Path) -> None:
    head = os.pread(descriptor, _BLOCK, 0)
    end_of_header = head.find(b"\n") + 1
    if end_of_header == 0:
        if not begins_header(head):
            raise not_a_journal(path)
        _begin(descriptor, path)
        return
    line = head[:end_of_header]
    version = checked_version(line, path)
    _drop_torn_end(descriptor, end_of_header)
    if version != VERSION:  # an older oplstm refuses the file from now on, instead of misreading it
        _overwrite_start(path, upgraded(line))


def _begin(descriptor: int, path: Path) -> None:
    os.ftruncate(descriptor, 0)
    line = header()
    if os.write(descriptor, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)
    sync(path.parent)


def _overwrite_start(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)  # a descriptor that appends would append this too
    try:
        os.pwrite(descriptor, line, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_torn_end(descriptor: int, floor: int) -> None:
    """Cut the file after the last line that is whole."""
    size = os.fstat(descriptor).st_size
    end = _end_of_last_line(descriptor, size, floor)
    while end > floor:
        start = _end_of_last_line(descriptor, end - 1, floor)
        try:
            json.loads(os.pread(descriptor, end - start, start))
            break
        except (ValueError, RecursionError):
            end = start
    if end < size:
        os.ftruncate(descriptor, end)


def _end_of_last_line(descriptor: int, before: int, floor: int) -> int:
    """The offset just after the last newline in [floor, before), or `floor` when there is none."""
    while before > floor:
        start = max(floor, before - _BLOCK)
        found = os.pread(descriptor, before - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        before = start
    return floor
