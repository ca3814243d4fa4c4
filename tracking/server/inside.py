"""Sends no file from outside a folder: where an artifact really lies, links followed."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

_UNUSABLE: Final = (errno.ELOOP, errno.ENAMETOOLONG)


class CannotUpload(Exception):
    """It can never be uploaded; the text says why."""


def checked_artifact(folder: Path, place: str) -> Path:
    """The file or directory at `place` in `folder`, after a look at all that an upload of it would read.

    Args:
        folder: What must not be left.
        place: A relative path.

    Raises:
        CannotUpload: It is not there, or it, or something in it, is outside the folder or no plain file.
        OSError: It cannot be looked at now.
    """
    root = Path(os.path.realpath(folder, strict=True))
    path = folder / place
    _check(path, root)
    for parent, folders, files in os.walk(path):  # as MLflow does: links to directories are not followed
        for name in (*folders, *files):
            _check(Path(parent, name), root)
    return path


def _check(path: Path, root: Path) -> None:
    try:
        real = Path(os.path.realpath(path, strict=True))
        mode = real.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise CannotUpload(f"there is no file {path}") from None
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        raise CannotUpload(f"{path} cannot be followed: {error.strerror}") from None
    if not real.is_relative_to(root):
        raise CannotUpload(f"{path} leads out of {root}, and only what is in there is uploaded")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CannotUpload(f"{path} is no plain file")
