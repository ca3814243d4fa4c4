"""An exclusive lock that one process holds on a path for as long as it lives."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from oplstm.errors import RequestError, WorkError

_PLAIN: Final = os.O_NOFOLLOW | os.O_NONBLOCK  # a link would have another file written; a pipe would be waited for


class FileLock:
    """Holds `<path>.lock` (flock); the kernel frees it when the process ends, however it ends, or a `with` block does.

    Args:
        path: The file that the lock protects; it need not exist.
        patience: Seconds to go on trying before giving up.

    Raises:
        RequestError: Another process holds the lock; the line names its process id.
        WorkError: The folder cannot be written.
    """

    def __init__(self, path: Path, *, patience: float = 0.5) -> None:
        lock_path = _lock_path_of(path)
        try:
            lock_path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | _PLAIN, 0o644)
        except OSError as error:
            raise WorkError(f"cannot write {lock_path}: {error.strerror}") from error
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                owner = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(self._fd)
                raise RequestError(
                    f"{path} is in use by process {owner}: wait for it to end, or stop it first"
                ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Free the lock. Calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "FileLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock_path_of(path: Path) -> Path:
    """The lock file that stands beside `path`."""
    return path.with_name(path.name + ".lock")


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock of `path`."""
    try:
        fd = os.open(_lock_path_of(path), os.O_RDONLY | _PLAIN)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
