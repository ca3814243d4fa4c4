"""Stopping what runs, and going on with what was stopped or killed."""

import time
from typing import TYPE_CHECKING

from jobs.operations.running import Outcome, is_running, owned
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.sweep.messages import OnProgress

LOOK_SECONDS = 0.2


def resume(home: Home, name: str, *, ray_address: str | None, progress: "OnProgress") -> Outcome:
    """Go on with a sweep, training or final run that was stopped or killed.

    Args:
        home: Where it is.
        name: Of it.
        ray_address: For a sweep, of a cluster; None starts a local Ray.
        progress: Shows it.

    Raises:
        RequestError: It is running, or has ended.
        WorkError: It failed.
    """
    from jobs.operations import start  # imports torch, which stopping goes without

    folder = home.sweep(name)
    with owned(folder):
        header = Header.read(folder)
        if SweepState.of(folder, header).finished:
            raise RequestError(f"{name} has ended; nothing is left to resume")
        home.check_writable()
        if header.kind is SweepKind.SWEEP:
            with start.cluster_and_server(home, header.tracking_uri, ray_address, header.job.resources) as tracking_uri:
                return start.run_on_cluster(folder, tracking_uri, progress)
        with tracking_server(home, header.tracking_uri) as tracking_uri:
            return start.run_here(folder, tracking_uri, progress)


def stop(home: Home, name: str) -> None:
    """Ask what runs to checkpoint and stop; returns when it has.

    Raises:
        RequestError: It does not run.
    """
    folder = home.sweep(name)
    if not is_running(folder):
        raise RequestError(f"{name} is not running")
    folder.stop_request.touch()
    while is_running(folder):
        time.sleep(LOOK_SECONDS)
