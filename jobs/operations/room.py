"""A disk that is full in the midst of work."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from typing import Final

from jobs.jobfile.schema import Job
from jobs.operations.requirements import disk_bytes
from jobs.store.home import MINIMUM_FREE_BYTES, SweepFolder
from oplstm.errors import WorkError

_FULL: Final = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


@contextlib.contextmanager
def full_disk_named(folder: SweepFolder, job: Job) -> Iterator[None]:
    """What fails in here for a full disk says which folder wants how much room, and what to do then.

    Raises:
        WorkError: As in the block.
    """
    try:
        yield
    except WorkError as error:
        if not any(words in str(error) for words in _FULL):
            raise
        needed = max(disk_bytes(job) - _size(folder), MINIMUM_FREE_BYTES)
        free = shutil.disk_usage(folder.path).free
        raise WorkError(
            f"no space left for {folder.path}, which has {free >> 20} MiB and needs up to {needed >> 20} MiB more; "
            f"nothing is lost: free some, then oplstm resume {folder.name}"
        ) from error


def _size(folder: SweepFolder) -> int:
    found = 0
    for where, _, files in os.walk(folder.path):
        for name in files:
            with contextlib.suppress(OSError):
                found += os.lstat(os.path.join(where, name)).st_size
    return found
