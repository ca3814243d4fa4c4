"""Ends a home's MLflow server once nobody uses it.

Everybody who uses it holds a shared lock on `server.users`, which the kernel frees when a process ends, however it
ends. The last to be done with the server ends it, whoever started it.
"""

import fcntl
import os
from pathlib import Path

from oplstm.errors import RequestError, WorkError
from tracking.journal.file_lock import FileLock
from tracking.server.process import end_group, is_server_of
from tracking.server.record import ServerRecord
from tracking.server.signals import postponed


def end_unused_server(home: Path) -> bool:
    """End a server that a killed process left behind: one that nobody uses. Returns whether there was one."""
    folder = server_folder(home)
    record = ServerRecord.load(folder)
    if record is None or not is_server_of(folder, record.pid):
        return False
    with postponed():
        try:
            with FileLock(folder / "server", patience=0.0):
                use = open_users(folder)
                try:
                    return end_if_unused(folder, record, use)
                finally:
                    os.close(use)
        except (RequestError, WorkError):
            return False  # somebody is about to use it, or to end it; or the home is another user's


def end_if_unused(folder: Path, record: ServerRecord, use: int) -> bool:
    """End a server unless another descriptor than `use` holds the users' lock; returns whether it ended one.

    The folder's own lock must be held, so that nobody comes meanwhile.
    """
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    is_there = record.pid > 1 and is_server_of(folder, record.pid)
    if is_there:
        end_group(record.pid)
    if ServerRecord.load(folder) == record:
        ServerRecord.remove(folder)
    return is_there


def open_users(folder: Path) -> int:
    """A descriptor of the file whose shared lock says that the server is in use."""
    return os.open(folder / "server.users", os.O_RDWR | os.O_CREAT, 0o644)


def server_folder(home: Path) -> Path:
    """Where a home's server has its database, artifacts and log."""
    return home.resolve() / "mlflow"
