"""``oplstm doctor``: is this machine fit, and has everything arrived in MLflow?"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.operations.running import is_running
from jobs.operations.sweep_check import Check, checked
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from oplstm.errors import RequestError, WorkError
from tracking.outbox.outbox import Outbox, idle_outbox
from tracking.outbox.refusals import Refusal
from tracking.server.ending import end_unused_server

SHIP_SECONDS = 300.0
PACKAGES = ("torch", "ray", "optuna", "mlflow")


def examine(home: Home) -> list[Check]:
    """Checks of this machine and of every sweep; ends a server that a killed process left behind."""
    end_unused_server(home.path)
    return [
        checked("Python", lambda: sys.version.split()[0]),
        checked("packages", lambda: ", ".join(f"{package} {version(package)}" for package in PACKAGES)),
        checked("CPU cores", lambda: str(os.cpu_count())),
        checked("GPUs", _gpus),
        checked("home", lambda: _writable(home)),
        *map(_of_sweep, home.all_sweeps()),
    ]


def _gpus() -> str:
    import torch

    return str(torch.cuda.device_count())


def _writable(home: Home) -> str:
    home.check_writable()
    return f"{home.path}, {shutil.disk_usage(home.path).free >> 30} GiB free"


def _of_sweep(folder: SweepFolder) -> Check:
    try:
        SweepState.of(folder, Header.read(folder))
        running, outbox = is_running(folder), idle_outbox(folder.journal)
        waiting, refused = outbox.pending(), outbox.refused()
    except (RequestError, WorkError, OSError) as error:
        return Check(folder.name, ok=False, found=f"damaged: {' '.join(str(error).split())}")
    found = []
    if waiting:
        hint = "" if running else f"; oplstm doctor {folder.name} ships them"
        found.append(f"{waiting} records wait for MLflow{hint}")
    if refused:
        found.append(refusal_line(folder.name, refused))
    return Check(
        folder.name, ok=not refused and (running or not waiting), found="; ".join(found) or "everything is in MLflow"
    )


def refusals(folder: SweepFolder) -> list[Refusal]:
    """What MLflow does not show of a sweep, though it was shipped."""
    return idle_outbox(folder.journal).refused()


def refusal_line(name: str, refused: Sequence[Refusal]) -> str:
    """How much MLflow does not show of a sweep, and what to do about it."""
    count = sum(one.count for one in refused)
    return f"{count} records were refused by MLflow or deleted there: oplstm doctor {name} lists them"


@dataclass(frozen=True)
class Shipped:
    """What became of what waited in a sweep's outbox.

    Attributes:
        name: Of the sweep.
        shipped: Records that were shipped.
        refused: What MLflow does not show.
    """

    name: str
    shipped: int
    refused: tuple[Refusal, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same for a person: one line, and one for each kind of refusal."""
        shown = [f"  {one.key} {one.op}, {one.count}: {one.reason}" for one in self.refused]
        if shown:
            shown.append(f"restore in MLflow what was deleted there, then: oplstm doctor {self.name} --rebuild")
        count = sum(one.count for one in self.refused)
        return [f"{self.name}: {self.shipped} records shipped, {count} refused", *shown]


def idle_sweep(home: Home, name: str) -> SweepFolder:
    """The folder of a sweep that nobody runs.

    Raises:
        RequestError: There is none of that name, it runs, or its folder holds links.
    """
    folder = home.sweep(name)
    if is_running(folder):
        raise RequestError(f"{name} is running and ships by itself")
    folder.check_links()
    return folder


def ship(home: Home, name: str, *, uri: str | None = None, rebuild: bool = False) -> Shipped:
    """Ship what waits in a sweep's outbox, or with ``rebuild`` its whole journal again.

    Shipping again is harmless where MLflow still has the runs, and makes them anew where it has lost them.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        uri: Of its tracking server, which must have been named in this home before where this does not.
        rebuild: Ship everything again.

    Raises:
        RequestError: The sweep is running, or its tracking server does not answer or was never named.
        WorkError: The journal is damaged, or the server did not take everything in time.
    """
    from jobs.operations.trust import server_of  # imports torch

    folder = idle_sweep(home, name)
    header = Header.read(folder)
    SweepState.of(folder, header)
    server = server_of(header, uri)
    if rebuild:
        Path(f"{folder.journal}.shipped").unlink(missing_ok=True)
    with (
        tracking_server(home, server, wait=True) as address,
        Outbox(folder.journal, address) as outbox,
    ):
        shipped = outbox.pending()
        if outbox.flush(SHIP_SECONDS):
            raise WorkError(f"{outbox.pending()} records of {name} still wait: {outbox.last_error}")
        return Shipped(name, shipped, tuple(outbox.refused()))
