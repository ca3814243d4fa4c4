"""Stopping what runs, and going on with what was stopped or killed."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.operations.running import Outcome, is_running, owned
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, WorkError

if TYPE_CHECKING:
    from jobs.sweep.messages import OnProgress

LOOK_SECONDS = 0.2


def resume(
    home: Home,
    name: str,
    *,
    progress: "OnProgress",
    notice: Callable[[str], None] = lambda line: None,
    uri: str | None = None,
    ray_address: str | None = None,
    trust: bool = False,
) -> Outcome:
    """Go on with a sweep, training or final run that was stopped or killed.

    Args:
        home: Where it is.
        name: Of it.
        progress: Shows it.
        notice: Told in a line what was found damaged and is mended by going on.
        uri: Of its tracking server, which must have been named in this home before where this does not.
        ray_address: For a sweep, of a cluster; None starts a local Ray.
        trust: Take a space of the user's own as it is now.

    Raises:
        RequestError: It is running, has ended, is damaged, or asks for what nobody named.
        WorkError: It failed.
    """
    from jobs.operations import start  # they import torch, which stopping goes without
    from jobs.operations.study_check import study_damage
    from jobs.operations.tracked_check import require_latest
    from jobs.operations.trust import check_space, server_of

    folder = home.sweep(name)
    with owned(folder):
        header = Header.read(folder)
        try:
            state = SweepState.of(folder, header)
        except WorkError as error:  # nothing was started
            raise RequestError(str(error)) from error
        if state.finished:
            raise RequestError(f"{name} has ended; nothing is left to resume")
        check_space(header, state, trust=trust)
        server = server_of(header, uri)
        home.check_writable()
        if (damage := study_damage(folder, state)) is not None:
            notice(f"{damage}; it is made again from the journal")
        if header.kind is SweepKind.SWEEP:
            means = start.cluster_and_server(home, uri=server, ray_address=ray_address, resources=header.job.resources)
            with means as tracking_uri:
                require_latest(folder, header, state, tracking_uri)
                return start.run_on_cluster(folder, tracking_uri, progress)
        with tracking_server(home, server) as tracking_uri:
            require_latest(folder, header, state, tracking_uri)
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
