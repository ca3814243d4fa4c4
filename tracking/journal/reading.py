"""Reads a journal from its beginning."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oplstm.errors import RequestError, WorkError
from tracking.journal.format import Json, checked_version


@dataclass(frozen=True, slots=True)
class Line:
    """One group of records.

    Attributes:
        number: Of its line in the file; the header is line 1.
        records: The group.
    """

    number: int
    records: tuple[dict[str, Json], ...]


def read_lines(path: Path) -> Iterator[Line]:
    """All groups, oldest first, without taking the lock; a torn last line is left out.

    Raises:
        RequestError: There is no such file, or it is of another format or version.
        WorkError: A line before the last is damaged.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise RequestError(f"cannot read the journal {path}: {error.strerror}") from error
    with file:
        header = file.readline()
        if not header.endswith(b"\n"):
            return
        checked_version(header, path)
        for number, line in enumerate(file, start=2):
            if not line.endswith(b"\n"):
                return
            try:
                group = json.loads(line)
            except (ValueError, RecursionError):
                if file.read(1) == b"":
                    return
                raise _damaged(path, number) from None
            if not isinstance(group, list) or not all(isinstance(record, dict) for record in group):
                raise _damaged(path, number)
            yield Line(number, tuple(group))


def _damaged(path: Path, number: int) -> WorkError:
    return WorkError(f"{path}, line {number} is damaged: restore the file from a copy")
