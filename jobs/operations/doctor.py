"""``oplstm doctor``: is this machine fit, and has everything arrived in MLflow?"""

import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from jobs.operations.launch import is_running, tracking_server
from jobs.store.home import Home
from jobs.store.state import Header
from oplstm.errors import RequestError, WorkError
from tracking.outbox.outbox import Outbox

SHIP_SECONDS = 300.0


def examine(home: Home) -> list[dict[str, Any]]:
    """Checks of this machine: ``{"check", "ok", "found"}`` each."""
    checks = [
        _check("Python", lambda: f"{sys.version.split()[0]}"),
        _check("packages", lambda: ", ".join(f"{p} {version(p)}" for p in ("torch", "ray", "optuna", "mlflow"))),
        _check("CPU cores", lambda: str(os.cpu_count())),
        _check("GPUs", lambda: str(torch.cuda.device_count())),
        _check("home", lambda: _writable(home)),
    ]
    for folder in home.all_sweeps():
        running = is_running(folder)
        with_outbox = Outbox(folder.journal, "http://127.0.0.1:1")
        waiting = with_outbox.pending()
        found = f"{waiting} records wait for MLflow" if waiting else "everything is in MLflow"
        hint = f"; oplstm doctor {folder.name} ships them" if waiting and not running else ""
        checks.append({"check": folder.name, "ok": running or not waiting, "found": found + hint})
    return checks


def _check(name: str, look: Callable[[], str]) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "found": look()}
    except (RequestError, OSError) as error:
        return {"check": name, "ok": False, "found": str(error)}


def _writable(home: Home) -> str:
    home.check_writable()
    return f"{home.path}, {shutil.disk_usage(home.path).free >> 30} GiB free"


def ship(home: Home, name: str, *, rebuild: bool = False) -> int:
    """Ship what waits in a sweep's outbox, or with ``rebuild`` its whole journal again; returns the records left.

    Shipping again is harmless where MLflow still has the runs, and makes them anew where it has lost them.

    Raises:
        RequestError: The sweep is running, or its tracking server does not answer.
        WorkError: The server did not take everything in time.
    """
    folder = home.sweep(name)
    if is_running(folder):
        raise RequestError(f"{name} is running and ships by itself")
    if rebuild:
        Path(f"{folder.journal}.shipped").unlink(missing_ok=True)
    with (
        tracking_server(home, Header.read(folder).tracking_uri, wait=True) as uri,
        Outbox(folder.journal, uri) as outbox,
    ):
        shipped = outbox.pending()
        if outbox.flush(SHIP_SECONDS):
            raise WorkError(f"{outbox.pending()} records of {name} still wait: {outbox.last_error}")
    return shipped
