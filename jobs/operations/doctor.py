"""``oplstm doctor``: is this machine fit, and has everything arrived in MLflow?"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jobs.operations.running import is_running
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from oplstm.errors import RequestError, WorkError
from tracking.outbox.outbox import Outbox

SHIP_SECONDS = 300.0
PACKAGES = ("torch", "ray", "optuna", "mlflow")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: What.
        ok: Whether it is as it should be.
        found: How it is, as one line.
    """

    check: str
    ok: bool
    found: str


def examine(home: Home) -> list[Check]:
    """Checks of this machine and of every sweep."""
    return [
        _check("Python", lambda: sys.version.split()[0]),
        _check("packages", lambda: ", ".join(f"{package} {version(package)}" for package in PACKAGES)),
        _check("CPU cores", lambda: str(os.cpu_count())),
        _check("GPUs", _gpus),
        _check("home", lambda: _writable(home)),
        *map(_of_sweep, home.all_sweeps()),
    ]


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, found=look())
    except (RequestError, OSError) as error:
        return Check(name, ok=False, found=str(error))


def _gpus() -> str:
    import torch

    return str(torch.cuda.device_count())


def _writable(home: Home) -> str:
    home.check_writable()
    return f"{home.path}, {shutil.disk_usage(home.path).free >> 30} GiB free"


def _of_sweep(folder: SweepFolder) -> Check:
    running = is_running(folder)
    waiting = Outbox(folder.journal, "http://127.0.0.1:1").pending()
    found = f"{waiting} records wait for MLflow" if waiting else "everything is in MLflow"
    hint = f"; oplstm doctor {folder.name} ships them" if waiting and not running else ""
    return Check(folder.name, ok=running or not waiting, found=found + hint)


def ship(home: Home, name: str, *, uri: str | None = None, rebuild: bool = False) -> int:
    """Ship what waits in a sweep's outbox, or with ``rebuild`` its whole journal again; returns the records shipped.

    Shipping again is harmless where MLflow still has the runs, and makes them anew where it has lost them.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        uri: Of its tracking server, which must have been named in this home before where this does not.
        rebuild: Ship everything again.

    Raises:
        RequestError: The sweep is running, or its tracking server does not answer or was never named.
        WorkError: The server did not take everything in time.
    """
    from jobs.operations.trust import server_of  # imports torch

    folder = home.sweep(name)
    if is_running(folder):
        raise RequestError(f"{name} is running and ships by itself")
    folder.check_links()
    server = server_of(Header.read(folder), uri)
    if rebuild:
        Path(f"{folder.journal}.shipped").unlink(missing_ok=True)
    with (
        tracking_server(home, server, wait=True) as address,
        Outbox(folder.journal, address) as outbox,
    ):
        shipped = outbox.pending()
        if outbox.flush(SHIP_SECONDS):
            raise WorkError(f"{outbox.pending()} records of {name} still wait: {outbox.last_error}")
    return shipped
