"""Mends a journal as far as its checksums say what stood in it: one bit of a line that flipped, a torn end."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from oplstm.errors import WorkError
from tracking.journal.checksums import stated
from tracking.journal.file_lock import FileLock
from tracking.journal.journal import Journal
from tracking.journal.reading import Scan

_LONGEST: Final = 11_000
"""Up to here three bits that flipped never look like one: the Hamming distance of CRC-32 is 4 to 91,607 bits
(Koopman, 32-Bit Cyclic Redundancy Codes for Internet Applications, DSN 2002)."""


def torn_end(path: Path) -> str | None:
    """What a crash left of the last line, as one line; None where the journal ends as it should.

    Raises:
        RequestError: It cannot be read.
        WorkError: It is damaged.
    """
    scan = _scanned(path)
    size = path.stat().st_size - scan.end
    return f"{path}, line {scan.number + 1}: {size} bytes of a line that was not written whole" if size else None


def mend(path: Path) -> list[str]:
    """Mend what can be mended; returns what was done, one line each.

    Raises:
        RequestError: Another process has the journal, or it is of another format or version.
    """
    done = []
    with FileLock(path):
        while (mended := _mended_bit(path)) is not None:
            done.append(mended)
    try:
        torn = torn_end(path)
    except WorkError:
        return done  # more than a bit of a line
    if torn is not None:
        Journal(path).close()
        done.append(f"{torn}: cut off")
    return done


def _scanned(path: Path) -> Scan:
    with path.open("rb") as file:
        scan = Scan(file, path)
        for _ in scan.groups():
            pass
    return scan


def _mended_bit(path: Path) -> str | None:
    """Put back the one bit of the first damaged line without which it, and the next, have the right checksums."""
    with path.open("rb") as file:
        scan = Scan(file, path)
        try:
            for _ in scan.groups():
                pass
        except WorkError:
            file.seek(scan.end)
            line, following = file.readline(), file.readline()
            if scan.end and len(line) <= _LONGEST and len(following) <= _LONGEST:
                return _with_bit_put_back(path, scan, line=line, following=following)
    return None


def _with_bit_put_back(path: Path, scan: Scan, *, line: bytes, following: bytes) -> str | None:
    text = bytearray(line + following if following.endswith(b"\n") else line)
    for place in range(len(line)):
        for bit in range(8):
            text[place] ^= 1 << bit
            if _fits(scan, bytes(text)):
                _write(path, scan.end + place, bytes(text[place : place + 1]))
                was = line[place]
                return (
                    f"{path}, line {scan.number + 1}: byte {place + 1} was {was:#04x} and is {text[place]:#04x} again, "
                    "as the checksum says"
                )
            text[place] ^= 1 << bit
    return None


def _fits(scan: Scan, text: bytes) -> bool:
    """Whether every line of a text has the right checksum; one of which none is left is not taken for an old one."""
    chain = replace(scan.chain)
    lines = text.splitlines(keepends=True)
    return all(stated(line) is not None and chain.follow(line) is None for line in lines)


def _write(path: Path, place: int, byte: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        os.pwrite(descriptor, byte, place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
