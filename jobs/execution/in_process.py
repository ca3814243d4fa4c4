"""Training in this process, without Ray: ``oplstm train`` and final runs."""

import dataclasses
import time
from collections.abc import Callable

from jobs.execution.pack_worker import Tick, train_pack
from jobs.store.home import SweepFolder
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.messages import OnProgress, Progress

TICK_SECONDS = 0.5


def run_in_process(
    folder: SweepFolder, tracking_uri: str | Callable[[], str], on_progress: OnProgress
) -> tuple[Progress, int]:
    """Train the packs of a sweep one after the other until all have ended or it is asked to stop.

    Returns:
        The last progress, and how many records still wait for the MLflow server.

    Raises:
        WorkError: A checkpoint cannot be written or read, or the disk is full.
    """
    coordinator = Coordinator(folder, tracking_uri)
    resources = coordinator.job.resources
    try:
        while (assignment := coordinator.next_pack()) is not None:
            train_pack(assignment, coordinator, folder, resources=resources, tick=_ticker(coordinator, on_progress))
    except BaseException:
        coordinator.close(flush_seconds=2.0)
        raise
    progress = coordinator.progress()
    on_progress(progress)
    return progress, coordinator.close()


def _ticker(coordinator: Coordinator, on_progress: OnProgress) -> Tick:
    """Moves the bar between validation points too, a few times a second."""
    shown = 0.0

    def tick(update: int, running: int) -> None:
        nonlocal shown
        if time.monotonic() - shown < TICK_SECONDS:
            return
        shown = time.monotonic()
        done = sum(_done(trial, update) for trial in coordinator.state.trials.values())
        on_progress(dataclasses.replace(coordinator.progress(), fraction=done))

    return tick


def _done(trial: Trial, update: int) -> float:
    """How much of a trial's work is done, at an update of the one pack that runs."""
    if trial.state is not TrialState.RUNNING:
        return trial.fraction
    per_update = trial.config.meta_batch_size if trial.config.budget.unit == "tasks" else 1
    return min(1.0, (update - (trial.joined or 0)) * per_update / trial.total)
