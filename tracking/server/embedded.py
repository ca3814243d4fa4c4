"""The MLflow server that comes with oplstm: local, loopback only, SQLite, in a process group of its own."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psutil

from oplstm.errors import RequestError, WorkError
from tracking.journal.file_lock import FileLock
from tracking.server.ending import end_if_unused, open_users, server_folder
from tracking.server.process import any_free_port, end_group, group_listens, is_free, is_server_of, launch, log_tail
from tracking.server.reachability import answers
from tracking.server.record import ServerRecord
from tracking.server.signals import interrupting, postponed

_STARTING_SECONDS: Final = 120.0
_LOCK_SECONDS: Final = 30.0


class Server:
    """A home's server, ready or on its way, once `start` was called.

    Args:
        home: The user's oplstm folder.

    Attributes:
        folder: Where its database, artifacts and log are.
    """

    def __init__(self, home: Path) -> None:
        self.folder = server_folder(home)
        self._record = ServerRecord(pid=0, port=0, started=0.0)
        self._process: subprocess.Popen[bytes] | None = None
        self._use = -1  # a file descriptor whose shared lock says that the server is in use

    @property
    def uri(self) -> str:
        """Its tracking URI."""
        return self._record.uri

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._record.pid

    def start(self, *, port: int | None = None) -> None:
        """Use the server that runs, or a new one. Call `stop` after this, even if it fails.

        Args:
            port: Of a new server; by default the one it had last time, or one of the home's own.

        Raises:
            RequestError: `port` is taken.
            WorkError: Its folder cannot be written.
        """
        try:
            (self.folder / "artifacts").mkdir(parents=True, exist_ok=True)
            with self._lock():
                self._use = open_users(self.folder)
                fcntl.flock(self._use, fcntl.LOCK_SH)
                self._find_or_launch(port)
        except OSError as error:
            raise WorkError(f"the MLflow server cannot start in {self.folder}: {error.strerror}") from error

    def is_ready(self) -> bool:
        """Whether it answers now, and no other program has its port."""
        return answers(self.uri, timeout=2.0) and group_listens(self.pid, self._record.port)

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
            if not self._is_alive():
                raise WorkError(f"the MLflow server ended while it started.{log_tail(self.folder)}")
            if waited > timeout:
                raise WorkError(f"the MLflow server gave no answer in {timeout:.0f} s.{log_tail(self.folder)}")
            if on_wait is not None:
                on_wait(waited)
            time.sleep(0.2)
        return self.uri

    def revive(self) -> None:
        """Start it again at its address if it died or hangs; returns when it answers.

        Raises:
            RequestError: Its port was taken meanwhile.
            WorkError: It does not come up.
        """
        try:
            self._launch_again()
        except WorkError:
            if self._is_alive():
                raise
            self._launch_again()  # it was about to end when it was looked at

    def _launch_again(self) -> None:
        with self._lock():
            self._find_or_launch(self._record.port)
        self.wait_ready()

    def stop(self) -> None:
        """Be done with the server: the last user ends it and its workers, whoever started it."""
        with postponed():
            if self._use < 0:
                return
            try:
                with self._lock():
                    ended = end_if_unused(self.folder, self._record, self._use)
                    if self._process is not None:
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            self._process.wait(timeout=float(ended))  # reaps it, once its threads are gone too
            finally:
                os.close(self._use)
                self._use = -1

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "server", patience=_LOCK_SECONDS)

    def _is_alive(self) -> bool:
        if self._process is not None and self._process.pid == self.pid:
            return self._process.poll() is None
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _find_or_launch(self, port: int | None) -> None:
        recorded = ServerRecord.load(self.folder)
        if recorded is not None and is_server_of(self.folder, recorded.pid):
            self._record = recorded
            is_young = time.time() - recorded.started < _STARTING_SECONDS
            if self._is_alive() and (is_young or any(self.is_ready() for _ in range(5))):
                return
            end_group(recorded.pid)  # what is left of one that hangs or died
        if port is not None and not is_free(port):
            raise RequestError(f"port {port} is taken; name another one, or none to have a free one chosen")
        if port is None:
            wanted = [*([] if recorded is None else [recorded.port]), _home_port(self.folder)]
            port = next((candidate for candidate in wanted if is_free(candidate)), None) or any_free_port()
        with postponed():  # or it would run and be in no record
            self._process = launch(self.folder, port)
            self._record = ServerRecord(pid=self._process.pid, port=port, started=time.time())
            self._record.save(self.folder)


@contextlib.contextmanager
def running_server(home: Path, *, port: int | None = None, wait: bool = True) -> Iterator[Server]:
    """The server of `home`, which runs at least while in here; no signal but SIGKILL leaves it behind.

    SIGTERM and SIGHUP raise KeyboardInterrupt in the block, unless they have handlers.

    Args:
        home: The user's oplstm folder; everything is under `<home>/mlflow`.
        port: Of a new server; by default the one it had last time, or one of the home's own.
        wait: Whether to begin only when it answers.

    Raises:
        RequestError: `port` is taken.
        WorkError: It does not come up.
    """
    with interrupting():
        server = Server(home)
        try:
            server.start(port=port)
            if wait:
                server.wait_ready()
            yield server
        finally:
            try:
                server.stop()
            except KeyboardInterrupt:
                server.stop()  # again, for a signal may come before it begins to hold signals back
                raise


def ensure_server(home: Path, *, port: int | None = None, wait: bool = True) -> Server:
    """As `running_server`, for callers that stop it themselves."""
    server = Server(home)
    try:
        server.start(port=port)
        if wait:
            server.wait_ready()
    except BaseException:  # Ctrl-C too: the server is in a session of its own and would go on
        server.stop()
        raise
    return server


def _home_port(folder: Path) -> int:
    """A home's own port: links stay good, and two homes that start at one time do not race for one port."""
    return 10_000 + int.from_bytes(hashlib.sha256(os.fsencode(folder)).digest()[:4], "big") % 20_000
