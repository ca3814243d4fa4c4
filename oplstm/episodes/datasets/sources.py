"""Where a dataset's files come from: a folder, an archive, or a folder with archives in it."""

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from oplstm.episodes.datasets.members import MAX_MEMBER_BYTES, MAX_MEMBERS, Member, safe_path
from oplstm.episodes.datasets.tar_source import TarSource
from oplstm.episodes.datasets.zip_source import ZipSource
from oplstm.errors import RequestError

PICKLES = (".pkl", ".pickle", ".pck", ".p", ".pt", ".pth")
JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")


class Source(Protocol):
    """Files by name. Every method refuses what is damaged or hostile with a RequestError."""

    def members(self) -> list[Member]:
        """Every file."""
        ...

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Paths and bytes of the wanted files, in the order that is quickest; after ``members``."""
        ...

    def close(self) -> None:
        """Give back what is open."""
        ...


def open_source(where: Path, archives: Collection[str]) -> Source:
    """What is at ``where``.

    Args:
        where: A folder, or a zip, tar or gzipped tar archive.
        archives: File names of archives that are read as well where a folder holds them.

    Raises:
        RequestError: There is nothing, or something else.
    """
    try:
        return FolderSource(where, archives) if where.is_dir() else _open_archive(where)
    except FileNotFoundError:
        raise RequestError(f"{where} does not exist") from None
    except OSError as error:
        raise RequestError(f"{where} cannot be read ({error.strerror})") from None


def is_junk(path: str) -> bool:
    """Whether an operating system or a hidden file is at ``path``, not a part of the dataset."""
    return any(part in JUNK or part.startswith(".") for part in path.split("/"))


def pickle_refused(path: Path | str) -> RequestError:
    """The refusal of a pickled distribution, with what to do instead."""
    return RequestError(
        f"{path} is a pickled distribution, which is never opened, because a pickle can run code when it is read: "
        "import the image files instead (docs/datasets.md says where they are and how they may lie)"
    )


def _open_archive(where: Path) -> Source:
    if where.exists() and not where.is_file():
        raise RequestError(f"{where} is neither a folder nor a file")  # reading a pipe could wait for ever
    with where.open("rb") as file:
        start = file.read(512)
    if where.suffix.lower() in PICKLES or start[:1] == b"\x80":
        raise pickle_refused(where)
    if start[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return ZipSource(where)
    if start[:2] == b"\x1f\x8b" or start[257:262] == b"ustar":
        return TarSource(where)
    raise RequestError(f"{where} is neither a folder nor a zip, tar or tar.gz archive")


class FolderSource:
    """A folder with everything below it; archives of the given names stand for folders of their own names.

    An archive is not read where it was unpacked beside itself.

    Raises:
        RequestError: It holds links, devices, names that could not be printed or too many files; so do the methods.
    """

    def __init__(self, where: Path, archives: Collection[str]) -> None:
        self._where, self._archive_names = where, set(archives)
        self._archives: dict[str, Source] = {}

    def members(self) -> list[Member]:
        """Every file, without hidden ones."""
        found: list[Member] = []
        folders = [""]
        while folders:
            below = folders.pop()
            entries = self._entries(below)
            unpacked = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
            for entry in entries:
                path, status = f"{below}{entry.name}", entry.stat(follow_symlinks=False)
                if is_junk(path):
                    continue
                safe_path(path, self._where)
                if entry.name in unpacked:
                    folders.append(f"{path}/")
                elif not stat.S_ISREG(status.st_mode):
                    raise RequestError(f"{self._where / path} is a link or a device, not a plain file or folder")
                elif entry.name not in self._archive_names:
                    found.append(Member(path, status.st_size))
                elif entry.name.partition(".")[0] not in unpacked:
                    archive = self._archives[path] = _open_archive(self._where / path)
                    found += [Member(f"{path}/{member.path}", member.size) for member in archive.members()]
                if len(found) > MAX_MEMBERS:
                    raise RequestError(
                        f"{self._where} has more than {MAX_MEMBERS} files: name the dataset's own folder"
                    )
        return sorted(found, key=lambda member: member.path)

    def _entries(self, below: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._where / below) as entries:
                return list(entries)
        except OSError as error:
            raise RequestError(f"{self._where / below} cannot be read ({error.strerror})") from None

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The wanted files' bytes: those in folders in the order asked for, then those in archives."""
        inside: dict[str, set[str]] = defaultdict(set)
        for path in wanted:
            archive = next((name for name in self._archives if path.startswith(f"{name}/")), None)
            if archive is None:
                yield path, self._read_file(self._where / path)
            else:
                inside[archive].add(path.removeprefix(f"{archive}/"))
        for archive, paths in inside.items():
            for path, data in self._archives[archive].read(paths):
                yield f"{archive}/{path}", data

    def _read_file(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_MEMBER_BYTES + 1)
        except OSError as error:
            raise RequestError(f"{path} cannot be read ({error.strerror})") from None
        if len(data) > MAX_MEMBER_BYTES:
            raise RequestError(f"{path} has more than {MAX_MEMBER_BYTES} bytes, which no image of this dataset has")
        return data

    def close(self) -> None:
        """Close the archives."""
        for archive in self._archives.values():
            archive.close()
