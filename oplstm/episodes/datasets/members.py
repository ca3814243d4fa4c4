"""The members of an archive, and the bounds that hostile ones run into; nothing is unpacked to disk.

A name or kind that no dataset needs (absolute or ``..`` paths, links, devices), a member given twice and a size that
no dataset has are refused while the archive is listed: before anything of it is decoded.
"""

import struct
import tarfile
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from oplstm.errors import RequestError

MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 32 * 2**20
"""Of a member that is read."""
MAX_TOTAL_BYTES = 16 * 2**30
"""Of all members together, unpacked."""
MAX_RATIO, SLACK = 200, 2**20
"""Unpacked bytes for each packed one, beyond the first SLACK."""
MAX_NAME = 1024

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,  # NotImplementedError and RecursionError too
    ValueError,
)
"""What the standard library raises over damaged archives."""


@dataclass(frozen=True)
class Member:
    """A file of a source: its path, with forward slashes, and its size in bytes, unpacked."""

    path: str
    size: int


def safe_path(name: str, where: Path) -> str:
    """``name`` without ``./`` and doubled slashes.

    Raises:
        RequestError: It is absolute, climbs with ``..``, holds control characters or is overlong.
    """
    if len(name) > MAX_NAME:
        raise RequestError(f"{where}: a member's name has {len(name)} characters, at most {MAX_NAME} are read")
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name):
        raise RequestError(f"{where}: the member name {name!a} holds control characters")
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        raise RequestError(f"{where}: the member name {name!r} is an absolute path or holds a backslash")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise RequestError(f"{where}: the member name {name!r} climbs out of the archive with '..'")
    return "/".join(parts)


class Listing:
    """Checks an archive's members one by one and adds up what they would unpack to."""

    def __init__(self, where: Path) -> None:
        self._where = where
        self._packed = where.stat().st_size
        self._seen: set[str] = set()
        self._count = self._bytes = 0

    def member(self, name: str, size: int, *, file: bool, folder: bool) -> Member | None:
        """The member, or None for a folder."""
        path = safe_path(name, self._where)
        self._count += 1
        if self._count > MAX_MEMBERS:
            raise RequestError(f"{self._where} has more than {MAX_MEMBERS} members, more than any dataset known here")
        if folder:
            return None
        if not file:
            raise RequestError(f"{self._where}: the member {path!r} is a link or a device, not a plain file")
        if path in self._seen:
            raise RequestError(f"{self._where}: the member {path!r} is there twice")
        self._seen.add(path)
        if size < 0:
            raise RequestError(f"{self._where}: the member {path!r} has a negative size")
        self._bytes += size
        if self._bytes > min(MAX_TOTAL_BYTES, MAX_RATIO * self._packed + SLACK):
            raise bomb(self._where, repr(path), packed=self._packed, unpacked=self._bytes)
        return Member(path, size)


def bomb(where: Path, place: str, *, packed: int, unpacked: int) -> RequestError:
    """The refusal of a decompression bomb."""
    return RequestError(f"{where} is a decompression bomb: {packed} bytes unpack to {unpacked} or more ({place})")


def check_size(where: Path, path: str, size: int) -> None:
    """Refuse a member that is too large to be read, with a RequestError."""
    if size > MAX_MEMBER_BYTES:
        raise RequestError(f"{where}: the member {path!r} has {size} bytes, at most {MAX_MEMBER_BYTES} are read")
