"""Sweeps that run, and what becomes of those that a verb runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.place import Place
from oplstm.errors import LONGEST_LINE, RequestError, quoted
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
        result: The test result of a training or final run that has ended.
    """

    folder: SweepFolder
    progress: "Progress | None"
    waiting: int
    result: "FinalResult | None" = None


@contextlib.contextmanager
def owned(folder: SweepFolder, *, archived: bool = False) -> Iterator[None]:
    """The sweep is this process's, from before its cluster is up until it has ended or stopped.

    Args:
        folder: Of the sweep.
        archived: Whether it may be one that was put away: nothing goes on with it.

    Raises:
        RequestError: It is another's, or a copy of another, or was put away.
    """
    with held(folder):
        header = require_original(folder)
        if not archived:
            require_at_hand(header)
        if header.place != Place.of(folder.path):
            header.write_again(folder)
        yield


@contextlib.contextmanager
def held(folder: SweepFolder) -> Iterator[None]:
    """The sweep is this process's, whether or not it is a copy.

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


def require_at_hand(header: Header) -> None:
    """See that a sweep was not put away.

    Raises:
        RequestError: It was.
    """
    if header.archived:
        raise RequestError(f"{header.name} is archived; oplstm archive {header.name} --undo takes it back")


def require_original(folder: SweepFolder) -> Header:
    """The header of a sweep, after seeing that its folder is no copy: that would write to the runs of the original.

    Raises:
        RequestError: It is, or its header is damaged.
    """
    header = Header.read(folder)
    if (place := header.place) is not None and not place.is_of(folder.path):
        original = f"{quoted(place.path, LONGEST_LINE)} on {quoted(place.node)}"
        raise RequestError(
            f"{folder.path} is a copy of {original}, and would write to its runs: "
            f"oplstm doctor {folder.name} --adopt makes it a sweep with runs of its own; if it was moved here and "
            f"nothing goes on there, oplstm doctor {folder.name} --moved"
        )
    return header
