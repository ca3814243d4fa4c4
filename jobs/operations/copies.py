"""What may become of a copy of a sweep's folder: a sweep of its own, or the sweep itself, which was moved."""

import uuid
from dataclasses import replace
from pathlib import Path

from jobs.operations.running import held
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from oplstm.errors import RequestError
from tracking.journal.journal import Journal
from tracking.outbox.rekeying import rekey


def adopt(folder: SweepFolder) -> str:
    """Make a copy a sweep of its own, whose MLflow runs are new; returns what was done, as one line.

    Raises:
        RequestError: It runs, or its header or journal cannot be read.
        WorkError: Its journal is damaged, or cannot be written.
    """
    with held(folder):
        header = Header.read(folder)
        own = replace(header, id=uuid.uuid4().hex)
        # where this is killed between the two, the runs of the journal are another's, and it is to be done again
        rekey(folder.journal, own.id, {"oplstm.sweep_id": own.id})
        own.write_again(folder)
    return f"{folder.path} is a sweep of its own, with MLflow runs of its own (its id was {header.id} and is {own.id})"


def moved(folder: SweepFolder) -> str:
    """Take a folder for the sweep itself, wherever it was before; returns what was done, as one line.

    Raises:
        RequestError: It runs, its header cannot be read, or ``adopt`` was killed in the middle.
        WorkError: Its journal is damaged.
    """
    with held(folder):
        header = Header.read(folder)
        if not _keys_are_of(folder, header):
            raise RequestError(f"{folder.name} was being made a sweep of its own: oplstm doctor {folder.name} --adopt")
        header.write_again(folder)
    was = "an unknown place" if header.place is None else f"{Path(header.place.path)} on {header.place.node}"
    return f"{folder.path} is where the sweep is, which was in {was}; nothing may go on there"


def _keys_are_of(folder: SweepFolder, header: Header) -> bool:
    """Whether the MLflow runs of a journal are those of its sweep."""
    if not folder.journal.exists():
        return True
    keys = (record["key"] for record in Journal.read(folder.journal) if record.get("kind") == "track")
    return str(next(keys, header.id)).partition("/")[0] == header.id
