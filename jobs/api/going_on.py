"""Work that goes on: resume, extend, rerun-failed; and stop. What each returns tells how it ended by its ``status``."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.api.asked import AnyHome, home_of
from jobs.api.process import as_before, unseen
from jobs.api.sweeps import Sweep

if TYPE_CHECKING:
    from jobs.operations.control import Means
    from jobs.operations.running import Outcome
    from jobs.store.home import Home
    from jobs.sweep.messages import OnProgress


def resume(
    name: str,
    *,
    trust: bool = False,
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    home: AnyHome = None,
    progress: "OnProgress | None" = None,
) -> Sweep:
    """Go on with what was stopped or killed, as if it never had been.

    Args:
        name: Of it.
        trust: Take code of your own as it is now, changed or moved; of what has ended too.
        tracking_uri: Of its MLflow server, where it was not named in this home before.
        ray_address: As of ``sweep``.
        home: Where it is.
        progress: As of ``train``.

    Raises:
        RequestError: It is running or has ended; nothing was started.
        WorkError: It failed.
    """
    from jobs.operations import control

    def work(there: "Home", means: "Means") -> "Outcome":
        return control.resume(there, name, progress=progress or unseen, means=means, notice=_warn)

    return _go_on(name, work, trust=trust, tracking_uri=tracking_uri, ray_address=ray_address, home=home)


def extend(
    name: str,
    *,
    trials: int | None = None,
    budget: int | None = None,
    trust: bool = False,
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    home: AnyHome = None,
    progress: "OnProgress | None" = None,
) -> Sweep:
    """Go on with a sweep with more trials or a longer budget, as if its job had always said so.

    With a longer budget, runs that completed go on from where they ended; pruned, failed and diverged ones stay.

    Args:
        name: Of the sweep.
        trials: In all; None for as many as before.
        budget: Of a run in all, in tasks or meta-updates as its job has it; None for as long as before.
        trust: As of ``resume``.
        tracking_uri: As of ``resume``.
        ray_address: As of ``sweep``.
        home: Where it is.
        progress: As of ``train``.

    Raises:
        RequestError: It is running, is no sweep, or has no more to try; nothing was started.
        WorkError: It failed.
    """
    from jobs.operations import extend as extending

    def work(there: "Home", means: "Means") -> "Outcome":
        return extending.extend(
            there, name, trials=trials, budget=budget, progress=progress or unseen, means=means, notice=_warn
        )

    return _go_on(name, work, trust=trust, tracking_uri=tracking_uri, ray_address=ray_address, home=home)


def rerun_failed(
    name: str,
    *,
    diverged: bool = False,
    trust: bool = False,
    tracking_uri: str | None = None,
    ray_address: str | None = None,
    home: AnyHome = None,
    progress: "OnProgress | None" = None,
) -> Sweep:
    """Train again the runs that failed, from their last checkpoint, and nothing else; for the rest see ``resume``.

    Args:
        name: Of the sweep, training or final run.
        diverged: Train again what diverged too.
        trust: As of ``resume``.
        tracking_uri: As of ``resume``.
        ray_address: As of ``sweep``.
        home: Where it is.
        progress: As of ``train``.

    Raises:
        RequestError: It has not ended, or no run of it failed; nothing was started.
        WorkError: It failed.
    """
    from jobs.operations import control

    def work(there: "Home", means: "Means") -> "Outcome":
        show = progress or unseen
        return control.rerun_failed(there, name, diverged=diverged, progress=show, means=means, notice=_warn)

    return _go_on(name, work, trust=trust, tracking_uri=tracking_uri, ray_address=ray_address, home=home)


def _go_on(
    name: str,
    work: "Callable[[Home, Means], Outcome]",
    *,
    trust: bool,
    tracking_uri: str | None,
    ray_address: str | None,
    home: AnyHome,
) -> Sweep:
    from jobs.operations.control import Means
    from jobs.operations.running import forget_stop_request
    from jobs.operations.tracking_server import chosen_uri

    with as_before():
        there = home_of(home)
        forget_stop_request(there.sweep_folder(name))
        return Sweep(work(there, Means(chosen_uri(tracking_uri), ray_address, trust)).folder)


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=2)


def stop(name: str, *, home: AnyHome = None) -> None:
    """Ask what runs, in whatever process, to checkpoint and stop; returns when it has.

    Raises:
        RequestError: It does not run.
    """
    from jobs.operations import control

    control.stop(home_of(home), name)
