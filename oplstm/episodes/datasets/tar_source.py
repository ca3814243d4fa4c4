"""Tar archives as sources of a dataset's files."""

import gzip
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from oplstm.episodes.datasets.members import (
    BROKEN,
    MAX_RATIO,
    MAX_TOTAL_BYTES,
    SLACK,
    Listing,
    Member,
    bomb,
    check_size,
)
from oplstm.errors import RequestError

MAX_HEADER_BYTES = 2**20
"""Of all the headers of one member of a tar archive."""
CHUNK = 2**20


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
            raise bomb(self._where, f"byte {self._position}", packed=packed, unpacked=self._position)
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
                listing = Listing(self._where)
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
                check_size(self._where, member.path, member.size)
                data = file.take(member.size)
                if len(data) != member.size:
                    raise RequestError(f"{self._where} is truncated in the member {member.path!r}")
                yield member.path, data

    def close(self) -> None:
        """Nothing stays open between the methods."""
