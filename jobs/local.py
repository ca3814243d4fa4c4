"""Training in this process, without Ray: ``oplstm train`` and final runs."""

from collections.abc import Callable
from typing import Any

from jobs.coordinator import Coordinator
from jobs.home import SweepFolder
from jobs.pack_worker import train_pack

TICK_EVERY = 20
"""Meta-updates between two looks at the progress bar."""


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
            runs = [coordinator.state.by_name[name] for name in assignment["names"]]
            total = runs[0].total
            per_update = runs[0].run["meta_batch_size"] if runs[0].run["budget"]["tasks"] else 1

            def tick(update: int, running: int, total: int = total, per_update: int = per_update) -> None:
                if update % TICK_EVERY == 0:
                    progress = coordinator.progress()
                    within = min(1.0, update * per_update / total)
                    ended = sum(
                        trial.fraction for trial in coordinator.state.trials.values() if trial.state != "running"
                    )
                    on_progress({**progress, "fraction": ended + running * within})

            train_pack(assignment, coordinator, folder, cpus=resources.cpus, gpus=resources.gpus, tick=tick)
    except BaseException:
        coordinator.close(flush_seconds=2.0)
        raise
    progress = coordinator.progress()
    on_progress(progress)
    return progress, coordinator.close()
