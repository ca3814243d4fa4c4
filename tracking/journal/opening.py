"""Opens a journal for writing: begins it, mends what a crash left of it, and brings an old one to today's version."""

import errno
import os
from pathlib import Path

from oplstm.durable import sync
from tracking.journal.checksums import MARK, Chain, sealed
from tracking.journal.format import VERSION, as_of, header
from tracking.journal.reading import Scan


def open_for_appending(path: Path) -> tuple[int, int]:
    """A descriptor that appends to the journal, which is made if it is not there. Its lock must be held.

    Returns:
        The descriptor, and the checksum of the last line.

    Raises:
        RequestError: The file is of another format or version; it is left alone.
        WorkError: It is damaged; it is left alone.
        OSError: It cannot be opened or written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        return descriptor, _mend(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise


def _mend(descriptor: int, path: Path) -> int:
    with path.open("rb") as file:
        scan = Scan(file, path)
        for _ in scan.groups():
            pass
    if os.fstat(descriptor).st_size > scan.end:
        os.ftruncate(descriptor, scan.end)
    if scan.end == 0:
        _append(descriptor, header())
        sync(path.parent)
        return Chain.after_header(header()).last
    if scan.version != VERSION:  # an older oplstm refuses the file from now on, instead of misreading it
        _overwrite_start(path, as_of(VERSION, scan.header))
    if scan.chain.begun:
        return scan.chain.last
    line, checksum = sealed(MARK, scan.chain.last)
    _append(descriptor, line)
    return checksum


def _append(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def _overwrite_start(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)  # a descriptor that appends would append this too
    try:
        os.pwrite(descriptor, line, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
