"""``oplstm status --watch``: how a sweep is, again and again, until it runs no more."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from jobs.operations.running import is_running
from jobs.operations.status import Status, sweep_status
from jobs.store.home import SweepFolder

LOOK_SECONDS: Final = 1.0
PAUSES: Final = 5
"""A look is followed by a pause of at least so many times as long as it took: the sweep needs the machine."""


def watch(
    folder: SweepFolder, *, wait: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> Iterator[Status]:
    """How a sweep is, about once a second; the last time when it has ended, or stopped, or its process has died.

    Args:
        folder: Of the sweep.
        wait: Returns after so many seconds.
        clock: Tells the time, in seconds.

    Raises:
        RequestError: Its files are of another version.
        WorkError: Its journal is damaged.
    """
    seen, status = None, None
    while True:
        began = clock()
        now = (is_running(folder), folder.journal.stat().st_size if folder.journal.exists() else 0)
        if status is None or now != seen:
            seen, status = now, sweep_status(folder)
        pause = max(LOOK_SECONDS, PAUSES * (clock() - began))
        yield status
        if status.state != "running":
            return
        wait(pause)
