"""Training in this process, without Ray: ``oplstm train`` and final runs."""

import time
from collections.abc import Callable
from typing import Any

from jobs.execution.pack_worker import train_pack
from jobs.store.home import SweepFolder
from jobs.store.state import Trial
from jobs.sweep.coordinator import Coordinator

TICK_SECONDS = 0.5


def run_locally(
    folder: SweepFolder, tracking_uri: str | Callable[[], str], on_progress: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any], int]:
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
            tick = _ticker(coordinator, on_progress)
            train_pack(assignment, coordinator, folder, cpus=resources.cpus, gpus=resources.gpus, tick=tick)
    except BaseException:
        coordinator.close(flush_seconds=2.0)
        raise
    progress = coordinator.progress()
    on_progress(progress)
    return progress, coordinator.close()


def _ticker(coordinator: Coordinator, on_progress: Callable[[dict[str, Any]], None]) -> Callable[[int, int], None]:
    """Moves the bar between validation points too, a few times a second."""
    shown = 0.0

    def tick(update: int, running: int) -> None:
        nonlocal shown
        if time.monotonic() - shown < TICK_SECONDS:
            return
        shown = time.monotonic()
        on_progress(
            {**coordinator.progress(), "fraction": sum(_done(t, update) for t in coordinator.state.trials.values())}
        )

    return tick


def _done(trial: Trial, update: int) -> float:
    """How much of a trial's work is done, at an update of the one pack that runs."""
    if trial.state != "running":
        return trial.fraction
    per_update = trial.config.meta_batch_size if trial.config.budget.unit == "tasks" else 1
    return min(1.0, (update - (trial.joined or 0)) * per_update / trial.total)
