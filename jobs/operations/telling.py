"""Telling MLflow something of every run of a sweep that nobody runs, by way of its journal as all that it is told."""

from collections.abc import Callable, Mapping
from typing import Final

from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.states import SweepKind
from oplstm.errors import WorkError
from tracking.journal.format import Json
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox

RUN_NAME: Final = "mlflow.runName"
SHIP_SECONDS: Final = 300.0


def tell_runs(folder: SweepFolder, tags: Callable[[str, Mapping[str, Json]], Mapping[str, str]]) -> None:
    """Write down the tags of all runs, unless they are what MLflow was told last.

    Args:
        folder: Of the sweep, which is this process's.
        tags: Of the run of the trial of this name, of the sweep's own run for "", by what MLflow was told last of it.

    Raises:
        WorkError: The journal is damaged, or cannot be written.
    """
    if not folder.journal.exists():
        return
    told: dict[str, dict[str, Json]] = {}
    for record in Journal.read(folder.journal):
        key, found = str(record.get("key")), record.get("tags")
        if record.get("op") == records.CreateRun.op:
            told[key] = {RUN_NAME: record.get("name")}
        if key in told and isinstance(found, dict):
            told[key] |= found
    news = []
    for key, known in told.items():
        wanted = tags(key.partition("/")[2], known)
        if any(known.get(name) != value for name, value in wanted.items()):
            news.append(records.Tags(key, wanted).encode())
    if news:
        with Journal(folder.journal) as journal:
            journal.append(news)
            journal.sync()


def forget_views(home: Home, header: Header, address: str) -> None:
    """Remove the saved views of a sweep under the names that it had, unless another has such a name by now.

    Args:
        home: Where it is.
        header: Of it.
        address: Of its tracking server.

    Raises:
        WorkError: The server did not take it.
    """
    from jobs.sweep.described import view_of
    from tracking.results.views import forget_sweep_view

    for name in header.earlier_names if header.kind is SweepKind.SWEEP else ():
        if not home.sweep_folder(name).path.exists():
            forget_sweep_view(address, header.experiment, sweep_key=name, key=view_of(header, name))


def ship(folder: SweepFolder, address: str) -> None:
    """Ship what waits.

    Raises:
        WorkError: The server did not take it in time; it is shipped by whoever ships next.
    """
    with Outbox(folder.journal, address) as outbox:
        if waiting := outbox.flush(SHIP_SECONDS):
            raise WorkError(
                f"{waiting} records of {folder.name} wait for MLflow: {outbox.last_error}; "
                f"oplstm doctor {folder.name} ships them"
            )
