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
def new_folder(path: Path) -> Iterator[Path]:
    """A draft folder to fill, which becomes ``path`` in place of what was there when the block ends without an error.

    Raises:
        OSError: It could not be written; ``path`` is as it was, and the draft is gone.
    """
    draft = draft_beside(path)
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        for file in draft.rglob("*"):
            sync(file)
        sync(draft)
        shutil.rmtree(path, ignore_errors=True)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(path.parent)


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
