"""Zip and tar archives, read without unpacking them, with bounds that hostile ones run into.

A name or kind that no dataset needs (absolute or ``..`` paths, links, devices), a member given twice and a size that
no dataset has are refused while the archive is listed: before anything of it is decoded.
"""

import gzip
import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from oplstm.errors import RequestError

MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 32 * 2**20
"""Of a member that is read."""
MAX_TOTAL_BYTES = 16 * 2**30
"""Of all members together, unpacked."""
MAX_RATIO, SLACK = 200, 2**20
"""Unpacked bytes for each packed one, beyond the first SLACK."""
MAX_NAME = 1024
MAX_DIRECTORY_BYTES = 24 * 2**20
"""Of a zip archive's table of contents."""
MAX_HEADER_BYTES = 2**20
"""Of all the headers of one member of a tar archive."""
CHUNK = 2**20

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


class _Listing:
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
            raise bomb(self._where, repr(path), self._packed, self._bytes)
        return Member(path, size)


def bomb(where: Path, place: str, packed: int, unpacked: int) -> RequestError:
    """The refusal of a decompression bomb."""
    return RequestError(f"{where} is a decompression bomb: {packed} bytes unpack to {unpacked} or more ({place})")


def _check_size(where: Path, path: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise RequestError(f"{where}: the member {path!r} has {size} bytes, at most {MAX_MEMBER_BYTES} are read")


class _ZipFile(io.FileIO):
    """A file that a zip archive's table of contents cannot make read without bound."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise ValueError(f"a table of contents of {size} bytes, at most {MAX_DIRECTORY_BYTES} are read")
        return super().read(size) or b""


class ZipSource:
    """A zip archive: a source of members.

    Raises:
        RequestError: It is damaged or hostile; so do the methods.
    """

    def __init__(self, where: Path) -> None:
        self._where = where
        self._file = _ZipFile(where)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except BROKEN as error:
            self._file.close()
            raise RequestError(f"{where} is truncated or no zip archive ({error})") from None
        self._infos: dict[str, zipfile.ZipInfo] = {}

    def members(self) -> list[Member]:
        """Every file, in the archive's order."""
        listing, found = _Listing(self._where), []
        for info in self._zip.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            folder = kind == stat.S_IFDIR or (kind == 0 and info.orig_filename.endswith("/"))
            file = kind in {0, stat.S_IFREG}
            member = listing.member(info.orig_filename, info.file_size, file=file, folder=folder)
            if member is None:
                continue
            if info.file_size > MAX_RATIO * info.compress_size + SLACK:
                raise bomb(self._where, repr(member.path), info.compress_size, info.file_size)
            self._infos[member.path] = info
            found.append(member)
        return found

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The wanted members' bytes, in the archive's order, checked against their CRCs."""
        for path, info in self._infos.items():
            if path not in wanted:
                continue
            _check_size(self._where, path, info.file_size)
            if info.flag_bits & 1:
                raise RequestError(f"{self._where}: the member {path!r} is encrypted")
            if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise RequestError(f"{self._where}: the member {path!r} is neither stored nor packed with deflate")
            try:
                with self._zip.open(info) as file:
                    data = file.read(info.file_size + 1)  # without a bound, all that a lying size hides is unpacked
            except BROKEN as error:
                raise RequestError(f"{self._where}: the member {path!r} is damaged ({error})") from None
            if len(data) != info.file_size:
                raise RequestError(f"{self._where}: the member {path!r} has {len(data)} bytes, not {info.file_size}")
            yield path, data

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()


class _Readable(Protocol):
    """A binary file, or what unpacks one."""

    def read(self, size: int, /) -> bytes: ...

    def tell(self) -> int: ...


class _Forwards:
    """A file for ``tarfile`` that is read forwards once, with a bound on a member's headers and on the whole.

    Attributes:
        headers: Bytes of headers that may still be read until it is set again.
        block: What was last read as a header.
    """

    def __init__(self, file: _Readable, packed: _Readable, where: Path) -> None:
        self._file, self._packed, self._where = file, packed, where
        self._position = 0
        self.headers = MAX_HEADER_BYTES
        self.block = b""

    def read(self, size: int) -> bytes:
        self.headers -= size
        if size < 0 or self.headers < 0:
            raise ValueError(f"a member has headers of more than {MAX_HEADER_BYTES} bytes")
        self.block = self.take(size)
        return self.block

    def take(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        data = self._file.read(size)
        self._position += len(data)
        packed = self._packed.tell()
        if self._position > min(MAX_TOTAL_BYTES, MAX_RATIO * packed + SLACK):
            raise bomb(self._where, f"byte {self._position}", packed, self._position)
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise ValueError("its members overlap")
        while self._position < position:
            if not self.take(min(CHUNK, position - self._position)):
                raise EOFError("unexpected end of data")

    def drain(self) -> None:
        """Read to the end, where gzip keeps its checksum."""
        while self.take(CHUNK):
            pass


class TarSource:
    """A tar archive, plain or packed with gzip: a source of members, unpacked anew by each of its methods.

    Raises:
        RequestError: It is damaged or hostile.
    """

    def __init__(self, where: Path) -> None:
        self._where = where

    def _walk(self) -> Iterator[tuple[Member, _Forwards]]:
        """Every file, with the archive read up to where its bytes begin."""
        last = "its start"
        try:
            with self._where.open("rb") as packed:
                zipped = packed.read(2) == b"\x1f\x8b"
                packed.seek(0)
                file = _Forwards(gzip.GzipFile(fileobj=packed) if zipped else packed, packed, self._where)
                listing = _Listing(self._where)
                archive = tarfile.TarFile(fileobj=file, mode="r", errorlevel=0)  # type: ignore[arg-type]
                while (info := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]
                    last = repr(info.name)
                    plain = info.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and not info.issparse()
                    member = listing.member(info.name, info.size, file=plain, folder=info.isdir())
                    if member is not None:
                        file.seek(info.offset_data)
                        yield member, file
                    file.headers = MAX_HEADER_BYTES
                if file.block != bytes(tarfile.BLOCKSIZE):
                    raise EOFError("no end mark")
                file.drain()
        except BROKEN as error:
            raise RequestError(f"{self._where} is truncated or damaged after {last} ({error})") from None

    def members(self) -> list[Member]:
        """Every file, in the archive's order."""
        return [member for member, _ in self._walk()]

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The wanted members' bytes, in the archive's order."""
        for member, file in self._walk():
            if member.path in wanted:
                _check_size(self._where, member.path, member.size)
                data = file.take(member.size)
                if len(data) != member.size:
                    raise RequestError(f"{self._where} is truncated in the member {member.path!r}")
                yield member.path, data

    def close(self) -> None:
        """Nothing stays open between the methods."""
