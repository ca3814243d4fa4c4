"""``oplstm archive`` and ``oplstm delete``: putting a sweep away, and removing it, in its folder and in MLflow."""

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from jobs.operations.family import finals_of, require_idle_finals, sweep_of
from jobs.operations.running import owned, require_idle, require_original
from jobs.operations.telling import ship, tell_runs
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from oplstm.durable import sync
from oplstm.errors import RequestError, WorkError, one_line
from tracking.outbox.comparison import runs_of
from tracking.server.client import connect

ARCHIVED: Final = "oplstm.archived"


def archive(home: Home, name: str, *, undo: bool = False, uri: str | None = None) -> Header:
    """Put a sweep, training or final run away, or take it back: it keeps all that it has, and nothing goes on with it.

    Its runs in MLflow get the tag ``oplstm.archived``, by which they can be filtered there.

    Args:
        home: Where it is.
        name: Of it.
        undo: Take it back.
        uri: Of its tracking server, which must have been named before where this does not.

    Returns:
        Its header.

    Raises:
        RequestError: It runs, is a copy or damaged, or its server does not answer.
        WorkError: Its journal is damaged, or the server did not take everything.
    """
    from jobs.operations.trust import server_of  # imports torch

    folder = home.sweep(name)
    require_idle(folder)
    header = require_original(folder)
    require_idle_finals(home, header)
    with tracking_server(home, server_of(header, uri), wait=True) as address:
        with owned(folder, archived=True):
            header = replace(Header.read(folder), archived=not undo)
            header.write_again(folder)
            tell_runs(folder, lambda trial, known: {ARCHIVED: str(header.archived).lower()})
        if folder.journal.exists():
            ship(folder, address)
    return header


@dataclass(frozen=True)
class Deleted:
    """What was deleted.

    Attributes:
        name: Of the sweep.
        runs: In MLflow, whose bin keeps them.
        bytes: On the disk.
    """

    name: str
    runs: int
    bytes: int


def delete(home: Home, name: str, *, sure: Callable[[str], bool], uri: str | None = None) -> Deleted | None:
    """Delete a sweep, training or final run: its runs in MLflow, which go to the bin there, and then its folder.

    Where it was cut off, the same again goes on with it. What is registered is no part of it and needs its run, so
    that a sweep with registered models is not deleted.

    Args:
        home: Where it is.
        name: Of it.
        sure: Asks whether to go on.
        uri: Of its tracking server, which must have been named before where this does not.

    Returns:
        What was deleted; None where the answer was no.

    Raises:
        RequestError: It runs, is a copy or damaged, has a final run or registered models, or its server is away.
        WorkError: The server did not delete its runs, or the folder could not be removed.
    """
    from jobs.operations.trust import server_of  # imports torch

    bin_ = bin_of(home.sweep_folder(name))
    if bin_.exists() and not home.sweep_folder(name).path.exists():
        return _finished(home, name, bin_, uri=uri)
    folder = home.sweep(name)
    require_idle(folder)
    header = require_original(folder)
    if finals := finals_of(home, header):
        raise RequestError(f"{name} has the final run {finals[0][1].name}: oplstm delete {finals[0][1].name} first")
    size = size_of(folder.path)
    if not sure(f"delete {name} ({size >> 20} MiB in {folder.path}) and its runs in MLflow?"):
        return None
    with tracking_server(home, server_of(header, uri), wait=True) as address, owned(folder, archived=True):
        count = _delete_runs(header, address)
        _remove(bin_)
        folder.path.rename(bin_)
        sync(bin_.parent)
        _tell_sweep(home, header, address)
    _remove(bin_)
    return Deleted(name, count, size)


def _finished(home: Home, name: str, bin_: Path, *, uri: str | None) -> Deleted:
    """Remove what is in the bin, because this was cut off before."""
    from jobs.operations.trust import server_of

    size = size_of(bin_)
    with contextlib.suppress(RequestError):  # its header went first
        header = Header.read(SweepFolder(bin_), named=name)
        if header.of is not None:
            with tracking_server(home, server_of(header, uri), wait=True) as address:
                _tell_sweep(home, header, address)
    _remove(bin_)
    return Deleted(name, 0, size)


def _tell_sweep(home: Home, header: Header, address: str) -> None:
    """The sweep of a final run has none any more."""
    from jobs.operations.reporting.tracked import track_report  # imports what draws

    if (sweep := sweep_of(home, header)) is not None:
        track_report(sweep, address)


def bin_of(folder: SweepFolder) -> Path:
    """What the folder of a sweep becomes before it is removed: no sweep's name."""
    return folder.path.with_name(f".{folder.name}.deleted")


def _delete_runs(header: Header, address: str) -> int:
    """Move the runs of a sweep to MLflow's bin, its own as the last; returns how many there were."""
    from tracking.results.versions import versions_of

    client = connect(address)
    try:
        found = runs_of(client, header.experiment, header.id)
        versions = [f"{one.name}:{one.version}" for one in versions_of(client, header.experiment, key=header.id)]
        if versions:
            raise RequestError(
                f"{header.name} has registered models ({', '.join(versions)}), which need their runs: delete these "
                f"versions in MLflow first, or put the sweep away with oplstm archive {header.name}"
            )
        for _, runs in sorted(found.items(), reverse=True):  # the key of the sweep's own is the beginning of all
            for run in runs:
                client.delete_run(run.info.run_id)
    except RequestError:
        raise
    except Exception as error:  # of MLflow's client, whatever its class
        raise WorkError(
            f"the MLflow server did not delete the runs of {header.name}: {one_line(error)}; nothing was deleted here"
        ) from error
    return sum(map(len, found.values()))


def _remove(path: Path) -> None:
    try:
        if path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise WorkError(f"cannot remove {path}: {error.strerror or error}; then delete again, or oplstm gc") from error


def size_of(path: Path) -> int:
    """Bytes of a file, or of all in a folder; links are not followed."""
    found = 0
    for where, _, files in os.walk(path):
        for name in files:
            found += _size(Path(where, name))
    return found or _size(path)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # gone meanwhile
        return 0
