"""Training without Ray: ``oplstm train`` and final runs."""

import dataclasses
import time
from collections.abc import Callable

from jobs.execution.pack_processes import train_side_by_side
from jobs.execution.pack_worker import Tick
from jobs.execution.turns import train_in_turns
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.messages import OnProgress, Progress
from oplstm.errors import WorkError

TICK_SECONDS = 0.5


def run_in_process(
    folder: SweepFolder,
    tracking_uri: str | Callable[[], str],
    on_progress: OnProgress,
    *,
    resources: Resources | None = None,
    slots: int = 1,
    replicates_only: bool = False,
) -> tuple[Progress, int]:
    """Train the packs of a sweep until all have ended or it is asked to stop.

    A pack that is the only one is trained in this process; several are trained side by side in processes of their own.

    Args:
        folder: Of the sweep.
        tracking_uri: Of the MLflow server, or a function that returns it and may fail while the server starts.
        on_progress: Shows it.
        resources: What a pack gets; None for what the job gives it.
        slots: How many packs are trained at once.
        replicates_only: Whether trials of the sweep itself are left as they are.

    Returns:
        The last progress, and how many records still wait for the MLflow server.

    Raises:
        WorkError: A checkpoint cannot be written or read, or the disk is full.
    """
    coordinator = Coordinator(folder, tracking_uri, replicates_only=replicates_only)
    resources = resources or coordinator.job.resources
    try:
        first = coordinator.next_pack(slots)
        second = coordinator.next_pack(slots) if first is not None and slots > 1 else None
        if first is not None and second is not None:
            given, show = [first, second], _shows(coordinator, on_progress)
            train_side_by_side(coordinator, given, resources=resources, slots=slots, show=show)
        else:
            tick = _ticker(coordinator, on_progress)
            while first is not None:
                train_in_turns(first, coordinator, folder, resources=resources, tick=tick)
                first = coordinator.next_pack(slots)
    except BaseException:
        coordinator.close(flush_seconds=2.0)
        raise
    progress = coordinator.progress()
    on_progress(progress)
    waiting = coordinator.close()
    if progress.failure is not None:
        raise WorkError(progress.failure)
    return progress, waiting


def _ticker(coordinator: Coordinator, on_progress: OnProgress) -> Tick:
    """Moves the bar between validation points too, a few times a second."""
    shown, show = 0.0, _shows(coordinator, on_progress)

    def tick(update: int, running: int) -> None:
        nonlocal shown
        if time.monotonic() - shown < TICK_SECONDS:
            return
        shown = time.monotonic()
        show({pack.name: update for pack in coordinator.state.running_packs})

    return tick


def _shows(coordinator: Coordinator, on_progress: OnProgress) -> Callable[[dict[str, int]], None]:
    """Shows the progress of a sweep whose packs are at these updates."""

    def show(updates: dict[str, int]) -> None:
        state = coordinator.state
        done, replicated = (
            sum(_done(trial, updates.get(trial.pack or "", 0)) for trial in trials.values())
            for trials in (state.trials, state.replicates)
        )
        on_progress(dataclasses.replace(coordinator.progress(), fraction=done, replicated=replicated))

    return show


def _done(trial: Trial, update: int) -> float:
    """How much of a trial's work is done, at an update of its pack."""
    if trial.state is not TrialState.RUNNING:
        return trial.fraction
    per_update = trial.config.meta_batch_size if trial.config.budget.unit == "tasks" else 1
    return max(trial.fraction, min(1.0, (update - (trial.joined or 0)) * per_update / trial.total))
