"""Sweeps, trainings and final runs on disk, to look at."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.api.asked import AnyHome, home_of
from jobs.api.process import as_before

if TYPE_CHECKING:
    from optuna.study import Study
    from pandas import DataFrame

    from jobs.jobfile.schema import Job
    from jobs.operations.status import Damaged, Status
    from jobs.store.home import SweepFolder
    from jobs.store.scores import FinalResult


@dataclass(frozen=True)
class Sweep:
    """A sweep, training or final run. Everything is read when it is asked for, so one that runs is seen as it is.

    Attributes:
        folder: Its files.

    All raise ``RequestError`` where its files are of another version and ``WorkError`` where they are damaged.
    """

    folder: "SweepFolder"

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def job(self) -> "Job":
        """Its job."""
        from jobs.store.header import Header

        return Header.read(self.folder).job

    @property
    def status(self) -> "Status":
        """How it is: its state, its trials, best meta-validation first, and what MLflow does not have yet."""
        from jobs.operations.status import sweep_status

        return sweep_status(self.folder)

    @property
    def result(self) -> "FinalResult | None":
        """The test result of a final run or a training that has ended; None of a sweep, and while seeds are missing."""
        from jobs.store.header import Header
        from jobs.store.scores import final_result
        from jobs.store.state import SweepState
        from jobs.store.states import SweepKind

        header = Header.read(self.folder)
        return None if header.kind is SweepKind.SWEEP else final_result(self.folder, SweepState.of(self.folder, header))

    @property
    def study(self) -> "Study":
        """A copy in memory of its Optuna study; what is done to it changes nothing on disk."""
        from jobs.operations.study_copy import study_copy

        with as_before():
            return study_copy(self.folder)

    def trials(self) -> "DataFrame":
        """A row a trial, best meta-validation first, then the replicates; test scores are the last columns.

        Columns: ``number``, ``trial``, ``replicate_of``, ``state``, ``val/loss`` or ``val/accuracy`` (best),
        ``val/ci95`` (half-width over tasks), ``best_update``, ``updates`` (meta-updates), ``seconds`` (of training),
        ``peak_memory`` (bytes, of the process of its pack), ``sharing`` (runs that shared them), ``parameters``
        (weights), ``pack``, ``param.NAME`` for each searched parameter, ``note``, ``mlflow_run``, ``test/...``.
        """
        from jobs.operations.frames import trials_frame

        return trials_frame(self.folder)

    def curves(self) -> "DataFrame":
        """A row a meta-validation point.

        Columns: ``number``, ``trial``, ``replicate`` (0 for the trial itself), ``update`` (meta-updates),
        ``tasks_seen``, ``val/...``, ``train/...`` and whatever else of docs/metrics.md was measured.
        """
        from jobs.operations.frames import points_frame

        return points_frame(self.folder)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the report of a sweep, one page that opens without a network; returns its path.

        Raises:
            RequestError: It is no sweep, or the folder of the file does not exist.
        """
        from jobs.operations.reporting.tracked import write_report

        with as_before():
            write_report(self.folder, Path(path))
        return Path(path)


def load_sweep(name: str, *, home: AnyHome = None) -> Sweep:
    """A sweep, training or final run by its name.

    Args:
        name: Its name.
        home: Where it is.

    Raises:
        RequestError: There is none of that name.
    """
    return Sweep(home_of(home).sweep(name))


def status(*, home: AnyHome = None) -> "list[Status | Damaged]":
    """Every sweep, training and final run, oldest first; a damaged one does not hide the others."""
    from jobs.operations.status import all_status

    return all_status(home_of(home))
