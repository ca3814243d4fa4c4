"""The checksums of a journal's lines: one that was changed, removed, doubled or moved is noticed.

A line ends with its checksum, as the last value of its list: ``[{...},{...},"0a1b2c3d"]``. It is the CRC-32 of the
line's text before it, begun at the checksum of the line before; that of the header, which states none, counts as its
checksum. A journal that an older version began has lines without; they count whole, and a mark with a checksum, which
covers them all, ends them. So a checksum that was taken away is not taken for an old line.
"""

import re
import zlib
from dataclasses import dataclass
from typing import Final

from tracking.journal.format import SEALED, as_of

LENGTH: Final = len(b',"00000000"]\n')
MARK: Final = b'[{"kind":"journal","version":%d}]' % SEALED
"""The text of the group that ends the lines without checksums."""

_STATED: Final = re.compile(rb',"([0-9a-f]{8})"\]\n')


def sealed(group: bytes, before: int) -> tuple[bytes, int]:
    """A group's line and its checksum.

    Args:
        group: Its text, a JSON list with something in it.
        before: The checksum of the line before.
    """
    text = group[:-1]
    checksum = zlib.crc32(text, before)
    return text + _stating(checksum), checksum


def _stating(checksum: int) -> bytes:
    return b',"%08x"]\n' % checksum


def stated(line: bytes) -> int | None:
    """The checksum at the end of a line, whether or not it is right; None where there is none."""
    found = _STATED.fullmatch(line[-LENGTH:])
    return None if found is None else int(found[1], 16)


@dataclass(slots=True)
class Chain:
    """The checksums up to some place in a journal.

    Attributes:
        last: That of the line before the place.
        begun: Whether every line has one from here on.
    """

    last: int
    begun: bool

    @classmethod
    def after_header(cls, line: bytes) -> "Chain":
        """That of a journal with this first line, which counts as the same of the first version with checksums."""
        return cls(zlib.crc32(as_of(SEALED, line)), begun=b'"checksum"' in line)

    def follow(self, line: bytes) -> str | None:
        """Go on behind the next line; or stay, and say what is wrong with it."""
        found = zlib.crc32(line[:-LENGTH], self.last)
        if line.endswith(_stating(found)):
            self.last, self.begun = found, True
            return None
        checksum = stated(line)
        if checksum is not None:
            other = "a line before it is missing" if self.begun else "one before it was"
            return f"its checksum is {checksum:08x} and should be {found:08x}: it was changed, or {other}"
        if self.begun or line.startswith(MARK[:-1]):
            return "it has no checksum at its end"
        self.last = zlib.crc32(line, self.last)
        return None
