"""Temporary folders that go with their process, however that ends."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tracking.journal.file_lock import FileLock, is_locked

TUNE: Final = "oplstm-tune-"
"""Beginning of the names of those for Ray Tune's own state."""
FAR: Final = "oplstm-far-"
"""And for what a pack writes on a node that does not see the home."""
YOUNG_SECONDS: Final = 60.0
"""A folder that nobody holds may have been made just now, by a process that is about to hold it."""


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[str]:
    """A temporary folder with such a name; those of processes that were killed are removed.

    Its process holds a lock, which tells over the walls of containers too whether it lives.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another's, or gone meanwhile
            found = left.lstat()
            is_old = time.time() - found.st_mtime > YOUNG_SECONDS
            if found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode) and is_old and not is_locked(left / "owner"):
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    with FileLock(folder / "owner"):
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
