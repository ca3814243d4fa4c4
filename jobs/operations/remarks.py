"""``oplstm note`` and ``oplstm tag``: what a person says of a sweep or a trial, in its MLflow run and in ``status``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from jobs.operations.running import owned, require_idle, require_original
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from oplstm.errors import RequestError
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.description import NOTE
from tracking.outbox.names import MAX_TAG, checked_name

_BY: Final = {"by": "user"}
"""In the records of the journal that a person has asked for."""
_RESERVED: Final = ("oplstm.", "mlflow.")


@dataclass
class Remarks:
    """What a person has said of a sweep or of one of its trials.

    Attributes:
        trial: Name of the trial; None for the sweep.
        note: A text, which is part of the description of its MLflow run.
        tags: Of its MLflow run.
    """

    trial: str | None
    note: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For a person."""
        of = self.trial or "this sweep"
        tags = [f"{of}: {' '.join(f'{name}={value}' for name, value in self.tags.items())}"] if self.tags else []
        return [*tags, *([f"{of}: {self.note}"] if self.note else [])]


def remarks(folder: SweepFolder) -> list[Remarks]:
    """All that was said, of the sweep first.

    Raises:
        WorkError: The journal is damaged.
    """
    found: dict[str, Remarks] = {}
    for record in Journal.read(folder.journal) if folder.journal.exists() else ():
        if record.get("by") != _BY["by"]:
            continue
        trial = str(record.get("key")).partition("/")[2]
        one = found.setdefault(trial, Remarks(trial or None))
        match record:
            case {"op": "tags", "tags": dict(tags)}:
                one.note = str(tags.get(NOTE, one.note))
                one.tags |= {str(name): str(value) for name, value in tags.items() if name != NOTE}
            case {"op": "untag", "names": list(names)}:
                one.tags = {name: value for name, value in one.tags.items() if name not in names}
    return [one for _, one in sorted(found.items()) if one.note or one.tags]


def note(home: Home, name: str, trial: str | None, *, text: str, uri: str | None = None) -> None:
    """Put a text into the description of a sweep's run, or of a trial's, in place of the one before; "" takes it away.

    What else stands there stays: oplstm's own, and what was written in the MLflow UI.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        trial: Name of the trial; None for the sweep itself.
        text: The note.
        uri: Of its tracking server, which must have been named before where this does not.

    Raises:
        RequestError: It runs, is a copy or damaged, has no such trial, or its server does not answer.
        WorkError: The server did not take it.
    """
    if len(text) > MAX_TAG:
        raise RequestError(f"a note has at most {MAX_TAG} characters, got {len(text)}")
    _say(home, name, trial, uri=uri, told=lambda run: [records.Tags(run, {NOTE: text})])


def tag(
    home: Home,
    name: str,
    trial: str | None,
    *,
    tags: Mapping[str, str],
    away: Sequence[str] = (),
    uri: str | None = None,
) -> None:
    """Set tags of a sweep's run, or of a trial's, and take others away; for the rest see ``note``.

    Raises:
        RequestError: As for ``note``, or MLflow has no such tags, or they are oplstm's.
        WorkError: The server did not take it.
    """
    for one in (*tags, *away):
        try:
            checked_name(one)
        except ValueError as error:
            raise RequestError(f"tag {one!r}: {error}") from error
        if one.startswith(_RESERVED):
            raise RequestError(f"tag {one!r}: names that begin with oplstm. or mlflow. are not yours; give another")

    def told(run: str) -> list[records.Record]:
        gone: list[records.Record] = [records.Untag(run, away)] if away else []
        return [*gone, *([records.Tags(run, tags)] if tags else [])]

    _say(home, name, trial, uri=uri, told=told)


def _say(
    home: Home, name: str, trial: str | None, *, uri: str | None, told: Callable[[str], Sequence[records.Record]]
) -> None:
    from jobs.operations.telling import ship
    from jobs.operations.tracking_server import tracking_server
    from jobs.operations.trust import server_of  # imports torch
    from jobs.sweep.tracked import key

    folder = home.sweep(name)
    require_idle(folder)
    header = require_original(folder)
    _require_run(folder, header, trial)
    with tracking_server(home, server_of(header, uri), wait=True) as address:
        with owned(folder, archived=True), Journal(folder.journal) as journal:
            journal.append([record.encode() | _BY for record in told(key(header, trial))])
            journal.sync()
        ship(folder, address)


def _require_run(folder: SweepFolder, header: Header, trial: str | None) -> None:
    """See that there is a run to speak of: the first records of the journal make the sweep's own."""
    if not folder.journal.exists():
        raise RequestError(f"{header.name} has not begun: oplstm resume {header.name} begins it")
    if trial is not None and trial not in SweepState.of(folder, header).by_name:
        raise RequestError(f"{header.name} has no trial {trial!r}; oplstm status {header.name} shows its trials")
