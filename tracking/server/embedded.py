"""The MLflow server that comes with oplstm: local, loopback only, SQLite, in a process group of its own."""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from oplstm.durable import write_file
from oplstm.errors import RequestError, WorkError
from tracking.journal.file_lock import FileLock
from tracking.server.process import any_free_port, end_group, group_listens, is_free, is_server_of, launch, log_tail
from tracking.server.reachability import answers, check_reachable

__all__ = ["Server", "check_reachable", "ensure_server"]

VERSION: Final = 1
_STARTING_SECONDS: Final = 120.0
_LOCK_SECONDS: Final = 30.0


@dataclass(slots=True)
class Server:
    """A server, ready or on its way.

    Attributes:
        uri: Its tracking URI.
        owned: Whether this process started it.
        pid: Its process id, which is also its process group's.
        folder: Where its database, artifacts and log are.
    """

    uri: str
    owned: bool
    pid: int
    folder: Path
    _use: int = field(repr=False)  # a file descriptor whose shared lock says that the server is in use
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def is_ready(self) -> bool:
        """Whether it answers now, and no other program has its port."""
        return answers(self.uri, timeout=2.0) and group_listens(self.pid, int(self.uri.rpartition(":")[2]))

    def wait_ready(self, timeout: float = _STARTING_SECONDS, *, on_wait: Callable[[float], None] | None = None) -> str:
        """Wait until it answers, and return its URI.

        Args:
            timeout: Seconds.
            on_wait: Called a few times a second with the seconds waited so far.

        Raises:
            WorkError: It ended, or does not answer in time; the text ends with the last lines of its log.
        """
        started = time.monotonic()
        while not self.is_ready():
            waited = time.monotonic() - started
            if not self._alive():
                raise WorkError(f"the MLflow server ended while it started.{log_tail(self.folder)}")
            if waited > timeout:
                raise WorkError(f"the MLflow server gave no answer in {timeout:.0f} s.{log_tail(self.folder)}")
            if on_wait is not None:
                on_wait(waited)
            time.sleep(0.2)
        return self.uri

    def stop(self) -> None:
        """Be done with the server: the last user ends it and its workers, whoever started it."""
        if self._use < 0:
            return
        lock = FileLock(self.folder / "server", patience=_LOCK_SECONDS)
        try:
            fcntl.flock(self._use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_server_of(self.folder, self.pid):
                end_group(self.pid)
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1)  # reaps it
            if _read_record(self.folder).get("pid") == self.pid:
                _record_path(self.folder).unlink(missing_ok=True)
        except BlockingIOError:
            pass  # another process, or another part of this one, still needs it
        finally:
            os.close(self._use)
            self._use = -1
            lock.release()

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def ensure_server(home: Path, *, port: int | None = None, wait: bool = True) -> Server:
    """The server of `home`: the one that runs, or a new one. It runs at least until this caller stops it.

    Args:
        home: The user's oplstm folder; everything is under `<home>/mlflow`.
        port: Of a new server; by default the one it had last time, or one of the home's own.
        wait: Whether to return only when it answers.

    Raises:
        RequestError: `port` is taken.
        WorkError: It does not come up.
    """
    folder = home.resolve() / "mlflow"
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "server", patience=_LOCK_SECONDS)
    use = os.open(folder / "server.users", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(use, fcntl.LOCK_SH)
        recorded = _read_record(folder)
        server = _running(recorded, folder, use) or _start(folder, use, port=port, last_port=recorded.get("port"))
    except BaseException:
        os.close(use)
        raise
    finally:
        lock.release()
    if wait:
        try:
            server.wait_ready()
        except BaseException:  # Ctrl-C too: the server is in a session of its own and would go on
            server.stop()
            raise
    return server


def _running(recorded: dict[str, Any], folder: Path, use: int) -> Server | None:
    """The recorded server, if it is alive and really is ours; what is left of one that hangs or died is ended."""
    try:
        pid, uri, started = int(recorded["pid"]), str(recorded["uri"]), float(recorded["started"])
    except (KeyError, TypeError, ValueError):
        return None
    if not is_server_of(folder, pid):
        return None
    server = Server(uri=uri, owned=False, pid=pid, folder=folder, _use=use)
    young = time.time() - started < _STARTING_SECONDS
    if server._alive() and (young or any(server.is_ready() for _ in range(5))):
        return server
    end_group(pid)
    return None


def _start(folder: Path, use: int, *, port: int | None, last_port: Any) -> Server:
    if port is not None and not is_free(port):
        raise RequestError(f"port {port} is taken; name another one, or none to have a free one chosen")
    if port is None:
        wanted = [candidate for candidate in (last_port, _home_port(folder)) if isinstance(candidate, int)]
        port = next((candidate for candidate in wanted if is_free(candidate)), None) or any_free_port()
    process = launch(folder, port)
    uri, started = f"http://127.0.0.1:{port}", time.time()
    server = Server(uri=uri, owned=True, pid=process.pid, folder=folder, _use=use, _process=process)
    record = {"version": VERSION, "pid": server.pid, "port": port, "uri": uri, "started": started}
    write_file(_record_path(folder), json.dumps(record))
    return server


def _home_port(folder: Path) -> int:
    """A home's own port: links stay good, and two homes that start at one time do not race for one port."""
    return 10_000 + int.from_bytes(hashlib.sha256(os.fsencode(folder)).digest()[:4], "big") % 20_000


def _record_path(folder: Path) -> Path:
    return folder / "server.json"


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads(_record_path(folder).read_text(encoding="ascii"))
        return record if record["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
