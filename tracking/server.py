"""The MLflow server that comes with oplstm: local, loopback only, SQLite, in a process group of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from oplstm.errors import RequestError, WorkError
from tracking.client import bypass_proxy, connect, one_line
from tracking.file_lock import FileLock

VERSION: Final = 1
_PREFERRED_PORT: Final = 5000
_LOG_TAIL_LINES: Final = 12


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
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def is_ready(self) -> bool:
        """Whether it answers now."""
        return _answers(self.uri, timeout=2.0)

    def wait_ready(self, timeout: float = 120, *, on_wait: Callable[[float], None] | None = None) -> str:
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
                raise WorkError(f"the MLflow server ended while it started.{_log_tail(self.folder)}")
            if waited > timeout:
                raise WorkError(f"the MLflow server at {self.uri} gave no answer in {timeout:.0f} s.{_log_tail(self.folder)}")
            if on_wait is not None:
                on_wait(waited)
            time.sleep(0.2)
        return self.uri

    def stop(self) -> None:
        """End the server and its workers, if this process started it."""
        if not self.owned:
            return
        _end_group(self.pid, self._process)
        (self.folder / "server.json").unlink(missing_ok=True)

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return psutil.pid_exists(self.pid)


def ensure_server(home: Path, *, port: int | None = None, wait: bool = True) -> Server:
    """The server of `home`: the one that runs, or a new one.

    Args:
        home: The user's oplstm folder; everything is under `<home>/mlflow`.
        port: Of a new server; by default the one it had last time, 5000, or any that is free.
        wait: Whether to return only when it answers.

    Raises:
        RequestError: `port` is taken.
        WorkError: It does not come up.
    """
    folder = home.resolve() / "mlflow"
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "server", patience=30)
    try:
        recorded = _read_record(folder)
        server = _running(recorded, folder)
        if server is None:
            server = _launch(folder, port=port, last_port=recorded.get("port"))
    finally:
        lock.release()
    if wait:
        server.wait_ready()
    return server


def check_reachable(uri: str, timeout: float = 15) -> None:
    """Return if an MLflow server answers at `uri`.

    Raises:
        RequestError: None does within `timeout` seconds; the line says what was found instead.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestError(_wrong_scheme(uri))
    client = connect(uri)
    found: list[str] = []

    def look() -> None:
        if not _answers(uri.rstrip("/"), timeout=timeout):
            found.append("no MLflow server answers there: check the address, and that the server is up")
            return
        try:
            client.search_experiments(max_results=1)
        except Exception as error:
            found.append(f"it does not answer as an MLflow server does ({one_line(error)})")
            return
        found.append("")

    threading.Thread(target=look, daemon=True).start()  # a name lookup knows no timeout
    deadline = time.monotonic() + timeout
    while not found and time.monotonic() < deadline:
        time.sleep(0.02)
    reason = found[0] if found else f"no answer in {timeout:.0f} s"
    if reason:
        raise RequestError(f"tracking server {uri}: {reason}")


def _wrong_scheme(uri: str) -> str:
    if "://" not in uri and not uri.startswith(("file:", "sqlite:")):
        return f"tracking server {uri!r} is not an address: did you mean http://{uri} ?"
    return (
        f"tracking server {uri!r}: only http:// and https:// servers are used. Leave it out to use the local server "
        f"that oplstm starts, or serve this store with: mlflow server --backend-store-uri {uri}"
    )


def _running(recorded: dict[str, Any], folder: Path) -> Server | None:
    """The recorded server, if it is alive and really is ours; one that hangs is ended."""
    try:
        process = psutil.Process(recorded["pid"])
        if abs(process.create_time() - recorded["started"]) > 2 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except (KeyError, TypeError, psutil.Error):
        return None
    server = Server(uri=recorded["uri"], owned=False, pid=recorded["pid"], folder=folder)
    young = time.time() - recorded["started"] < 120
    if young or any(server.is_ready() for _ in range(5)):
        return server
    _end_group(server.pid, None)
    return None


def _launch(folder: Path, *, port: int | None, last_port: Any) -> Server:
    if port is not None and not _is_free(port):
        raise RequestError(f"port {port} is taken: name another one, or none to have a free one chosen")
    if port is None:
        wanted = [candidate for candidate in (last_port, _PREFERRED_PORT) if isinstance(candidate, int)]
        port = next((candidate for candidate in wanted if _is_free(candidate)), None) or _any_free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts"),
        *("--artifacts-destination", (folder / "artifacts").as_uri()),
        *("--allowed-hosts", "localhost,localhost:*,127.0.0.1,127.0.0.1:*"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    record = {"version": VERSION, "pid": process.pid, "port": port, "uri": uri}
    record["started"] = psutil.Process(process.pid).create_time()
    draft = folder / "server.json.new"
    draft.write_text(json.dumps(record), encoding="ascii")
    draft.replace(folder / "server.json")
    return Server(uri=uri, owned=True, pid=process.pid, folder=folder, _process=process)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / "server.json").read_text(encoding="ascii"))
        return record if record["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _end_group(pid: int, process: "subprocess.Popen[bytes] | None") -> None:
    for sent, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(pid, sent)
        except (ProcessLookupError, PermissionError):
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if process is not None:
                process.poll()  # reaps it
            try:
                os.killpg(pid, 0)
            except (ProcessLookupError, PermissionError):
                return
            time.sleep(0.05)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _log_tail(folder: Path) -> str:
    path = folder / "server.log"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        return f" It left no log at {path}"
    return f" The end of its log, {path}:\n" + "\n".join(lines)


def _answers(uri: str, *, timeout: float) -> bool:
    import requests

    bypass_proxy(uri)
    try:
        reply = requests.get(f"{uri}/health", timeout=timeout)
    except requests.RequestException:
        return False
    return reply.status_code == 200 and reply.text.strip() == "OK"
