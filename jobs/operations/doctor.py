"""``oplstm doctor``: is this machine fit, and has everything arrived in MLflow?"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from jobs.operations.homes_server import servers_in_use
from jobs.operations.running import is_running, owned, require_original
from jobs.operations.sweep_check import Check, checked
from jobs.operations.telling import forget_views
from jobs.operations.tracked_check import (
    NamedServers,
    damaged_models,
    delete_twins,
    fetch_models,
    tracked_differences,
    tracked_problems,
)
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.pack_sizes import PackSizes
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from jobs.sweep.tracked import key
from oplstm.errors import RequestError, WorkError
from tracking.outbox.comparison import SHIPPED_AGAIN
from tracking.outbox.cursor import Cursor, cursor_path, ship_again
from tracking.outbox.outbox import Outbox, idle_outbox
from tracking.outbox.refusals import Refusal
from tracking.server.ending import end_unused_server

SHIP_SECONDS = 300.0
PACKAGES = ("torch", "ray", "optuna", "mlflow")


def examine(home: Home) -> list[Check]:
    """Checks of this machine and of every sweep; ends a server that a killed process left behind."""
    end_unused_server(home.path)
    servers = NamedServers()
    return [
        checked("Python", lambda: sys.version.split()[0]),
        checked("packages", lambda: ", ".join(f"{package} {version(package)}" for package in PACKAGES)),
        checked("CPU cores", lambda: str(os.cpu_count())),
        checked("GPUs", _gpus),
        checked("home", lambda: _writable(home)),
        *(servers.check(uri, sweeps=count) for uri, count in servers_in_use(home).items()),
        *(_of_sweep(folder, servers) for folder in home.all_sweeps()),
    ]


def _gpus() -> str:
    import torch

    return str(torch.cuda.device_count())


def _writable(home: Home) -> str:
    home.check_writable()
    if (problem := PackSizes(home.pack_sizes).later_version()) is not None:
        raise RequestError(f"{problem}, and measures anew: use the oplstm that wrote it, or remove it")
    return f"{home.path}, {shutil.disk_usage(home.path).free >> 30} GiB free"


def _of_sweep(folder: SweepFolder, servers: NamedServers) -> Check:
    try:
        header = Header.read(folder)
        SweepState.of(folder, header)
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
    doubtful = {} if running else Cursor.load(cursor_path(folder.journal)).doubtful
    if doubtful:
        found.append(f"{len(doubtful)} of its runs may have been created twice; oplstm doctor {folder.name} looks")
    ok = not refused and not doubtful and (running or not waiting)
    if not running:
        try:
            twins = servers.twins(folder, header)
            ok, found = ok and not twins, [*found, *twins]
        except RequestError as error:  # what waits for it was said
            found.append(str(error))
    return Check(folder.name, ok=ok, found="; ".join(found) or "everything is in MLflow")


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
        mended: What was mended with MLflow or in it, one line each.
        problems: What MLflow holds other than the journal says, one line each.
    """

    name: str
    shipped: int
    refused: tuple[Refusal, ...]
    mended: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, without what was found beside the shipping."""
        return {name: value for name, value in asdict(self).items() if name in ("name", "shipped", "refused")}

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


def ship(home: Home, name: str, *, uri: str | None = None, rebuild: bool = False, repair: bool = False) -> Shipped:
    """Ship what waits in a sweep's outbox, or with ``rebuild`` its whole journal again, and compare it with MLflow.

    Shipping again is harmless where MLflow still has the runs, and makes them anew where it has lost them.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        uri: Of its tracking server, which must have been named in this home before where this does not.
        rebuild: Ship everything again.
        repair: Mend what differs, and models that are damaged here and whole in MLflow.

    Raises:
        RequestError: The sweep is running or a copy, or its tracking server does not answer or was never named.
        WorkError: The journal is damaged, or the server did not take everything in time.
    """
    from jobs.operations.trust import server_of  # imports torch

    folder = idle_sweep(home, name)
    header = require_original(folder)
    state = SweepState.of(folder, header)
    server = server_of(header, uri)
    if rebuild and (reason := _not_to_be_shipped(folder, state)) is not None:
        raise WorkError(reason)
    with tracking_server(home, server, wait=True) as address:
        shipped, refused, runs = _shipped(folder, header, state, address=address, again=rebuild)
        mended = _report_made(folder, header, state, address=address) if repair else []
        found = tracked_differences(folder, header, address)
        if repair:
            mended += delete_twins(address, found) + fetch_models(folder, state, address=address, runs=runs)
            if any(one.fault in SHIPPED_AGAIN for one in found):
                if (reason := _not_to_be_shipped(folder, state)) is not None:
                    mended.append(f"nothing shipped again: {reason}")
                else:
                    again, refused, _ = _shipped(folder, header, state, address=address, again=True)
                    mended.append(f"shipped the whole journal of {name} again, {again} records")
            found = tracked_differences(folder, header, address) if mended else found
        if rebuild or mended:
            forget_views(home, header, address)  # which the whole journal makes again
    return Shipped(name, shipped, refused, tuple(mended), tuple(tracked_problems(found, name)))


def _report_made(folder: SweepFolder, header: Header, state: SweepState, *, address: str) -> list[str]:
    """Make the report that a sweep which has ended lacks, as a resume does; returns what was done."""
    from jobs.operations.reporting.tracked import has_report, track_report  # imports what draws

    if header.kind is not SweepKind.SWEEP or not state.finished or has_report(folder):
        return []
    with owned(folder, archived=True):
        track_report(folder, address)
    return [f"{folder.report}: made again"] if has_report(folder) else []


def _not_to_be_shipped(folder: SweepFolder, state: SweepState) -> str | None:
    """Which damaged files would take the place of MLflow's copy, should the whole journal be shipped again."""
    places = (folder.trial(trial.name) for trial in damaged_models(folder, state))
    place = next((place for place in places if place.exists()), None)
    if place is None:
        return None
    return (
        f"{place} is damaged, and would be uploaded in place of MLflow's copy: oplstm doctor {folder.name} --repair "
        "puts that back; where there is none, remove the folder"
    )


def _shipped(
    folder: SweepFolder, header: Header, state: SweepState, *, address: str, again: bool
) -> tuple[int, tuple[Refusal, ...], dict[str, str]]:
    """How many records waited and were shipped, what was refused, and MLflow's run of each trial by its name."""
    if again:
        ship_again(folder.journal)
    with Outbox(folder.journal, address) as outbox:
        shipped = outbox.pending()
        if outbox.flush(SHIP_SECONDS):
            raise WorkError(f"{outbox.pending()} records of {folder.name} still wait: {outbox.last_error}")
        runs = {name: outbox.run_id(key(header, name)) for name in state.by_name}
        return shipped, tuple(outbox.refused()), {name: run for name, run in runs.items() if run is not None}
