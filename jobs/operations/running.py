"""Sweeps that run, and what becomes of those that a verb runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.store.home import SweepFolder
from oplstm.errors import RequestError
from tracking.journal.file_lock import is_locked

if TYPE_CHECKING:  # they import torch, which a sweep's status is read without
    from jobs.store.scores import FinalResult
    from jobs.sweep.messages import Progress


@dataclass(frozen=True)
class Outcome:
    """What became of a sweep, training or final run.

    Attributes:
        folder: Where it is.
        progress: At the end.
        waiting: Records that still wait for the MLflow server.
        result: The test result of a final run that has ended.
    """

    folder: SweepFolder
    progress: "Progress"
    waiting: int
    result: "FinalResult | None" = None


def is_running(folder: SweepFolder) -> bool:
    """Whether a live process owns the sweep's journal."""
    return is_locked(folder.journal)


def require_idle(folder: SweepFolder) -> None:
    """See that nobody runs the sweep.

    Raises:
        RequestError: Somebody does.
    """
    if is_running(folder):
        raise RequestError(f"{folder.name} is running; oplstm stop {folder.name} stops it")
