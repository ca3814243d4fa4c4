"""The form of a journal file: a header, then one group of records a line.

Version 1 held a validation point and its MLflow record as one record, with the "kind" of the second and the "event"
of the first; since version 2 they are two records of one group. A file that was begun by version 1 and went on under
version 2 has lines of both. Since version 3 a line has a checksum (``checksums``) and the header a
field that says so; a file that was begun by an older version has neither, but for the lines from its mark on. Version 4
has the same form: since then a sweep's journal may hold what an oplstm before it does not know (``extended``,
``taken_out``, ``limited``, ``declined``, and of ``asked`` by whose request).
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from oplstm.errors import RequestError, WorkError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]

VERSION: Final = 4
SEALED: Final = 3
"""Since which version lines have checksums. To these every header counts as one of it, so that it can be made newer."""
_READ: Final = (1, 2, 3, 4)
_FORMAT: Final = "oplstm-journal"


def header(version: int = VERSION) -> bytes:
    """The first line of a journal."""
    checksum = {"checksum": "crc32"} if version >= SEALED else {}
    return json.dumps({"format": _FORMAT, "version": version, **checksum}).encode("ascii") + b"\n"


def begins_header(text: bytes) -> bool:
    """Whether this is what a crash can have left of the first line."""
    return any(header(version).startswith(text) for version in _READ)


def checked_version(line: bytes, path: Path) -> int:
    """The version that the first line names.

    Raises:
        RequestError: It is not the header of a journal, or of a version that cannot be read.
        WorkError: It is damaged.
    """
    try:
        found = json.loads(line)
        known = found["format"] == _FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise not_a_journal(path)
    version = found.get("version")
    if version not in _READ:
        raise RequestError(
            f"{path} is a journal of version {str(version)[:40]}, "
            f"this oplstm reads versions {_READ[0]} to {_READ[-1]}: use the oplstm that wrote it"
        )
    if "checksum" in found and line not in map(header, range(SEALED, VERSION + 1)):
        raise damaged(path, 1, "it is not what a journal with checksums begins with")
    return int(version)


def as_of(version: int, line: bytes) -> bytes:
    """The header of any version as one of this, in as many bytes."""
    return re.sub(rb'("version"\s*:\s*)[1-4]\b', rb"\g<1>%d" % version, line)


def not_a_journal(path: Path) -> RequestError:
    """What to raise for a file that is something else."""
    return RequestError(f"{path}, line 1: it is not the header of a journal; restore the file from a copy")


def damaged(path: Path, number: int, problem: str) -> WorkError:
    """What to raise for a line that is not as it was written."""
    return WorkError(f"{path}, line {number}: {problem}; restore the file from a copy")
