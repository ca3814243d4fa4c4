"""``oplstm status``: what the journals say."""

from typing import Any

from jobs.operations.launch import is_running
from jobs.store.home import Home, SweepFolder
from jobs.store.state import Header, SweepState


def sweep_status(folder: SweepFolder, *, trials: bool = False) -> dict[str, Any]:
    """Kind, state, counts and leader of a sweep, and every trial if asked."""
    header, state = Header.read(folder), SweepState.of(folder)
    leader = state.leader()
    running = is_running(folder)
    status: dict[str, Any] = {
        "name": header.name,
        "kind": header.kind,
        "state": "complete" if state.finished else "running" if running else "stopped",
        "counts": dict(state.counts()),
        "best": None if leader is None else leader.best,
        "leader": None if leader is None else leader.name,
        "promoted": None if state.promoted is None else state.promoted["picked"],
        "folder": str(folder.path),
    }
    if trials:
        ranked = sorted(state.trials.values(), key=lambda trial: (trial.best is None, trial.cost))
        status["trials"] = [
            {
                "name": trial.name,
                "state": trial.state,
                "fraction": trial.fraction,
                "best": trial.best,
                "params": trial.params,
                "note": trial.note,
            }
            for trial in ranked
        ]
    return status


def all_status(home: Home) -> list[dict[str, Any]]:
    """Every sweep, oldest first."""
    return [sweep_status(folder) for folder in home.all_sweeps()]
