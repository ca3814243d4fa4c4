"""Zip archives as sources of a dataset's files."""

import io
import stat
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from oplstm.episodes.datasets.members import BROKEN, MAX_RATIO, SLACK, Listing, Member, bomb, check_size
from oplstm.errors import RequestError

MAX_DIRECTORY_BYTES = 24 * 2**20
"""Of a zip archive's table of contents."""


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
        listing, found = Listing(self._where), []
        for info in self._zip.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            folder = kind == stat.S_IFDIR or (kind == 0 and info.orig_filename.endswith("/"))
            file = kind in {0, stat.S_IFREG}
            member = listing.member(info.orig_filename, info.file_size, file=file, folder=folder)
            if member is None:
                continue
            if info.file_size > MAX_RATIO * info.compress_size + SLACK:
                raise bomb(self._where, repr(member.path), packed=info.compress_size, unpacked=info.file_size)
            self._infos[member.path] = info
            found.append(member)
        return found

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The wanted members' bytes, in the archive's order, checked against their CRCs."""
        for path, info in self._infos.items():
            if path not in wanted:
                continue
            check_size(self._where, path, info.file_size)
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
