"""Folders that appear whole or not at all, whatever ends the process that writes them."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oplstm.durable import sync
from oplstm.errors import RequestError, WorkError

SPARE_BYTES = 2**20


@contextmanager
def staged(target: Path, size: int) -> Iterator[Path]:
    """A fresh folder beside ``target`` that takes its place when the block ends, and is gone when the block fails.

    One process at a time may stage a target. What a process that was killed left behind is cleared by the next one;
    the lock itself is freed by the kernel.

    Args:
        target: The folder to make or to replace, or a link to it.
        size: Bytes that will be written.

    Raises:
        RequestError: Another process is at it, there is too little space, or the place cannot be written.
        WorkError: Writing failed.
    """
    target = target.resolve()  # a link stays, what it leads to is replaced
    draft, replaced, lock = (target.with_name(f".{target.name}.{what}") for what in ("importing", "replaced", "lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(lock)
    except OSError as error:
        raise RequestError(f"{target.parent} cannot be written ({error.strerror})") from None
    try:
        _sweep(target, draft, replaced)
        free = shutil.disk_usage(target.parent).free
        if free < size + SPARE_BYTES:
            raise RequestError(f"{target.parent} has {free} bytes free, {size + SPARE_BYTES} are needed")
        draft.mkdir()
        yield draft
        _publish(target, draft, replaced)
    except OSError as error:
        raise WorkError(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def leftovers(folder: Path) -> list[Path]:
    """What imports that were killed have left in a folder of datasets, of no use to anybody.

    A dataset that was about to be replaced, and has no successor, is none: the next import puts it back.
    """
    found = [*sorted(folder.glob(".*.importing")), *sorted(folder.glob(".*.replaced"))]
    return [path for path in found if not _is_locked(path) and (path.suffix != ".replaced" or _target(path).exists())]


def clear_leftovers(path: Path) -> None:
    """Clear what is beside one of ``leftovers``.

    Raises:
        RequestError: An import has begun there.
        OSError: It cannot be removed.
    """
    target = _target(path)
    draft, replaced, lock = (target.with_name(f".{target.name}.{what}") for what in ("importing", "replaced", "lock"))
    descriptor = _lock(lock)
    try:
        _sweep(target, draft, replaced)
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _target(path: Path) -> Path:
    return path.with_name(path.stem.removeprefix("."))


def _is_locked(path: Path) -> bool:
    """Whether an import goes on beside this."""
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(path: Path) -> int:
    """The descriptor of the locked file at ``path``; the file is removed by whoever holds the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise RequestError(f"another process is importing into {path.parent}: wait for it to end") from None
        os.close(descriptor)


def _sweep(target: Path, draft: Path, replaced: Path) -> None:
    """Clear what a killed process left; a folder that it was about to replace goes back to its place."""
    shutil.rmtree(draft, ignore_errors=True)
    if replaced.exists() and not target.exists():
        replaced.rename(target)
    shutil.rmtree(replaced, ignore_errors=True)


def _publish(target: Path, draft: Path, replaced: Path) -> None:
    for path in (*draft.iterdir(), draft):
        sync(path)
    if target.exists():
        target.rename(replaced)
    draft.rename(target)
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
