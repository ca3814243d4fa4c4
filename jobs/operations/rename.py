"""``oplstm rename``: another name for a sweep, training or final run, in its folder, in MLflow and in the registry."""

from collections.abc import Mapping
from dataclasses import replace

from jobs.operations.family import require_idle_finals, sweep_of
from jobs.operations.running import held, owned, require_idle, require_original
from jobs.operations.telling import RUN_NAME, forget_views, ship, tell_runs
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.states import SweepKind
from oplstm.durable import sync
from oplstm.errors import RequestError
from tracking.journal.format import Json
from tracking.outbox.description import DESCRIPTION


def rename(home: Home, name: str, new: str, *, uri: str | None = None) -> SweepFolder:
    """Give a sweep another name. Where that was cut off, the same again goes on; after its end it changes nothing.

    Args:
        home: Where it is.
        name: Of it, or that which it had.
        new: That it is to have.
        uri: Of its tracking server, which must have been named before where this does not.

    Returns:
        Its folder.

    Raises:
        RequestError: It runs, is a copy or damaged, the name is taken, or its server does not answer.
        WorkError: Its journal is damaged, or the server did not take everything.
    """
    from jobs.operations.reporting.tracked import track_report  # imports what draws
    from jobs.operations.trust import server_of
    from tracking.results.versions import rename_in_versions

    old, there = home.sweep_folder(name), home.sweep_folder(new)
    if old.path == there.path:
        raise RequestError(f"{name} has that name")
    _finish_move(old, there)
    folder = there if _was_called(old, there) else home.sweep(name)
    if folder is not there:
        home.new_sweep(new)
    require_idle(folder)
    header = require_original(folder)
    require_idle_finals(home, header)
    with tracking_server(home, server_of(header, uri), wait=True) as address:
        if folder is not there:
            _move(folder, there)
        _rename_study(there)
        if there.journal.exists():
            ship(there, address)
        rename_in_versions(address, header.experiment, key=header.id, before=name, after=new)
        forget_views(home, Header.read(there), address)
        told = there if header.kind is SweepKind.SWEEP else sweep_of(home, header)
        if told is not None:
            track_report(told, address)
    return there


def _move(folder: SweepFolder, there: SweepFolder) -> None:
    """Write down what MLflow is to be told, and move the folder: its header first, which says what is between."""
    with owned(folder, archived=True):
        header = Header.read(folder)
        earlier = tuple(name for name in header.earlier_names if name not in (header.name, there.name))
        renamed = replace(header, name=there.name, earlier_names=(*earlier, header.name))
        tell_runs(folder, lambda trial, known: _named(renamed, trial, known, before=header.name))
        renamed.write_again(folder, becomes=there.path)
        _move_folder(folder, there)


def _move_folder(folder: SweepFolder, there: SweepFolder) -> None:
    folder.path.rename(there.path)
    sync(there.path.parent)


def _named(header: Header, trial: str, known: Mapping[str, Json], *, before: str) -> dict[str, str]:
    """The tags that name a trial's run, or the sweep's own, and with it the view that shows its trials."""
    from jobs.sweep.described import renamed_note, sweep_note, view_tag

    own = {} if trial else view_tag(header)
    own |= {DESCRIPTION: sweep_note(header)} if own else {}  # of a promoted sweep the report says it anew
    if trial and DESCRIPTION in known:
        own[DESCRIPTION] = renamed_note(header, str(known[DESCRIPTION]), trial=trial, before=before)
    return {RUN_NAME: f"{header.name}/{trial}" if trial else header.name, "oplstm.sweep": header.name, **own}


def _finish_move(old: SweepFolder, there: SweepFolder) -> None:
    """Move a folder whose header has the new name already, because this was cut off between the two."""
    if old.header.is_file() and not there.path.exists():
        try:
            Header.read(old, named=there.name)
        except RequestError:  # the rule: it has the name of its folder, or is damaged
            return
        with held(old):
            _move_folder(old, there)


def _was_called(old: SweepFolder, there: SweepFolder) -> bool:
    return not old.path.exists() and there.header.is_file() and old.name in Header.read(there).earlier_names


def _rename_study(folder: SweepFolder) -> None:
    from jobs.store.study_file import rename_study  # imports Optuna

    with held(folder):
        rename_study(folder.study, folder.name)
