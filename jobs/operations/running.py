"""Sweeps that run, and what becomes of those that a verb runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.store.home import SweepFolder
from oplstm.errors import RequestError
from tracking.journal.file_lock import FileLock, is_locked

if TYPE_CHECKING:  # they import torch, which a sweep's status is read without
    from jobs.store.scores import FinalResult
    from jobs.sweep.messages import Progress


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep, training or final run.

    Attributes:
        folder: Where it is.
        progress: At the end; None where it had ended before.
        waiting: Records that still wait for the MLflow server.
        result: The test result of a final run that has ended.
    """

    folder: SweepFolder
    progress: "Progress | None"
    waiting: int
    result: "FinalResult | None" = None


@contextlib.contextmanager
def owned(folder: SweepFolder) -> Iterator[None]:
    """The sweep is this process's, from before its cluster is up until it has ended or stopped.

    Raises:
        RequestError: It is another's.
    """
    require_idle(folder)
    folder.check_links()
    lock = FileLock(folder.header)
    try:
        yield
    finally:
        folder.stop_request.unlink(missing_ok=True)
        lock.release()


def is_running(folder: SweepFolder) -> bool:
    """Whether a live process owns the sweep, or its journal, which may outlive the one that started it."""
    return is_locked(folder.header) or is_locked(folder.journal)


def forget_stop_request(folder: SweepFolder) -> None:
    """Remove a request to stop that a process which was killed left behind."""
    if folder.path.is_dir() and not is_running(folder):
        folder.stop_request.unlink(missing_ok=True)


def require_idle(folder: SweepFolder) -> None:
    """See that nobody runs the sweep.

    Raises:
        RequestError: Somebody does.
    """
    if is_running(folder):
        raise RequestError(f"{folder.name} is running; oplstm stop {folder.name} stops it")
