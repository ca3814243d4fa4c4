"""Files and folders that appear whole or not at all, and are still there after a power cut."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def write_file(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Put a file in place of whatever is at ``path``, in one step.

    Args:
        path: Where; its folder exists.
        content: All of it; text is written as UTF-8.
        mode: Permissions of the file.

    Raises:
        OSError: It could not be written; ``path`` is as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = draft_beside(path)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """A draft folder to fill, which becomes ``path`` when the block ends without an error.

    Args:
        path: Where; folders above it are made.
        replace: Whether it takes the place of what was there; else that is an error, but for an empty folder.

    Raises:
        OSError: It could not be written; ``path`` is as it was, and the draft is gone.
    """
    draft = draft_beside(path)
    try:
        shutil.rmtree(draft, ignore_errors=True)
        make_folder(path.parent)
        draft.mkdir()
        yield draft
        for file in draft.rglob("*"):
            sync(file)
        sync(draft)
        if replace:
            shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing; one that is there is left as it is.

    Raises:
        OSError: It could not be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync(folder.parent)


def draft_beside(path: Path) -> Path:
    """The name under which a process writes what will become ``path``: hidden, and no other process's."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def sync(path: Path) -> None:
    """Return when a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
