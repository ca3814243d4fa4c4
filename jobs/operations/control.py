"""Stopping what runs, going on with what was stopped or killed, and training again what has failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobs.operations.running import Outcome, is_running, owned
from jobs.operations.tracking_server import tracking_server
from jobs.store.extended import extended_job
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.reruns import failed, train_again
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, WorkError

if TYPE_CHECKING:
    from jobs.sweep.messages import OnProgress

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Means:
    """With what a sweep goes on.

    Attributes:
        uri: Of its tracking server, which must have been named in this home before where this does not.
        ray_address: For a sweep, of a cluster; None starts a local Ray.
        trust: Take a space of the user's own as it is now.
    """

    uri: str | None = None
    ray_address: str | None = None
    trust: bool = False


def resume(
    home: Home,
    name: str,
    *,
    progress: "OnProgress",
    means: Means = Means(),
    notice: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Go on with a sweep, training or final run that was stopped or killed.

    A sweep that was killed when all had ended gets the report that it lacks. Of one that has ended, with ``trust``,
    code of the user's own is recorded as it is now, so that whatever reads the sweep takes it.

    Args:
        home: Where it is.
        name: Of it.
        progress: Shows it.
        means: With what.
        notice: Told in a line what was found damaged and is mended by going on.

    Raises:
        RequestError: It is running, has ended, is damaged, or asks for what nobody named.
        WorkError: It failed.
    """
    folder = home.sweep(name)
    with owned(folder):
        before = Header.read(folder)
        header, state = known(folder, trust=means.trust)
        if state.finished:
            if means.trust:
                from jobs.operations.trust import check_space  # imports torch

                check_space(header, state, trust=True)
                header = _with_space(folder, header)
            if header.kind is SweepKind.SWEEP and not _has_report(folder):
                return _report(home, header, means=means, notice=notice)
            if (header.plugins, header.space_source) != (before.plugins, before.space_source):
                notice(f"{name} has ended; from now on its code is taken as it is now")
                return _ended(folder, header, state)
            lost = len(failed(state))
            mend = f"{lost} of its runs failed: oplstm rerun-failed {name}" if lost else "nothing is left to resume"
            raise RequestError(f"{name} has ended; {mend}")
        return go_on(home, header, state, means=means, progress=progress, notice=notice)


def rerun_failed(
    home: Home,
    name: str,
    *,
    diverged: bool,
    progress: "OnProgress",
    means: Means = Means(),
    notice: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Train again what has failed of a sweep, training or final run that has ended, and nothing else.

    Args:
        home: Where it is.
        name: Of it.
        diverged: Whether what diverged is trained again too.
        progress: Shows it.
        means: With what.
        notice: As of ``resume``.

    Raises:
        RequestError: It is running, has not ended, has no such run, is damaged, or asks for what nobody named.
        WorkError: It failed.
    """
    folder = home.sweep(name)
    with owned(folder):
        header, state = known(folder, trust=means.trust)
        if not state.finished:
            raise RequestError(f"{name} has not ended: first oplstm resume {name}, then what failed is trained again")
        trials = failed(state, diverged=diverged)
        if not trials:
            others = len(failed(state, diverged=True))
            hint = f"; {others} diverged, which --diverged trains again" if others else ""
            raise RequestError(f"no run of {name} failed{hint}")

        def begin() -> None:
            train_again(folder.journal, state, trials)

        return go_on(home, header, state, means=means, progress=progress, notice=notice, begin=begin)


def known(folder: SweepFolder, *, trust: bool = False) -> tuple[Header, SweepState]:
    """The header and the state of a sweep that this process owns, with its plug-ins imported.

    Args:
        folder: Of the sweep.
        trust: Take code of the user's own as it is now.

    Raises:
        RequestError: Its files are damaged, or its plug-ins are not those that it was made with.
    """
    header = Header.read(folder)
    if header.plugins:
        from jobs.operations.trust import check_plugins  # imports torch

        if (plugins := check_plugins(header, trust=trust)) != header.plugins:
            header = replace(header, plugins=plugins)
            header.write_again(folder)
    try:
        state = SweepState.of(folder, header)
    except WorkError as error:  # nothing was started
        raise RequestError(str(error)) from error
    if (job := extended_job(header.job, state.extensions)) != header.job:  # who extended it was killed in between
        header = replace(header, job=job)
        header.write_again(folder)
    return header, state


def _with_space(folder: SweepFolder, header: Header) -> Header:
    """The header of a sweep that this process owns, with its space as it is now: somebody has looked at it."""
    from jobs.jobfile.space_source import SpaceSource

    if (source := SpaceSource.of(header.job.space)) != header.space_source:
        header = replace(header, space_source=source)
        header.write_again(folder)
    return header


def _ended(folder: SweepFolder, header: Header, state: SweepState) -> Outcome:
    """What became of what had ended before."""
    from jobs.store.scores import final_result
    from tracking.outbox.outbox import idle_outbox

    result = None if header.kind is SweepKind.SWEEP else final_result(folder, state)
    return Outcome(folder, None, idle_outbox(folder.journal).pending(), result)


def _has_report(folder: SweepFolder) -> bool:
    from jobs.operations.reporting.tracked import has_report  # imports what draws

    return has_report(folder)


def _report(home: Home, header: Header, *, means: Means, notice: Callable[[str], None]) -> Outcome:
    """Make the report that a sweep which has ended lacks."""
    from jobs.operations.reporting.tracked import track_report
    from jobs.operations.trust import server_of

    folder, server = home.sweep(header.name), server_of(header, means.uri)
    home.check_writable()
    notice(f"{header.name} has ended, and its report was missing: it is made now")
    with tracking_server(home, server, wait=True) as tracking_uri:
        return Outcome(folder, None, track_report(folder, tracking_uri))


def go_on(
    home: Home,
    header: Header,
    state: SweepState,
    *,
    means: Means,
    progress: "OnProgress",
    notice: Callable[[str], None],
    begin: Callable[[], None] = lambda: None,
) -> Outcome:
    """Go on with what is idle and owned; ``begin`` writes what is new when all else is ready."""
    from jobs.operations import start  # they import torch, which stopping goes without
    from jobs.operations.study_check import study_damage
    from jobs.operations.tracked_check import require_latest
    from jobs.operations.trust import check_space, server_of

    folder = home.sweep(header.name)
    check_space(header, state, trust=means.trust)
    server = server_of(header, means.uri)
    home.check_writable()
    if (damage := study_damage(folder, state)) is not None:
        notice(f"{damage}; it is made again from the journal")
    on_ray = header.kind is SweepKind.SWEEP
    with (
        start.cluster_and_server(home, uri=server, ray_address=means.ray_address, job=header.job)
        if on_ray
        else tracking_server(home, server)
    ) as tracking_uri:
        require_latest(folder, header, state=state, address=tracking_uri)
        begin()
        if means.trust:
            _with_space(folder, header)
        return (start.run_on_cluster if on_ray else start.run_here)(folder, tracking_uri, progress)


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
