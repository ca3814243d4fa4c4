"""The operating system's side of the embedded MLflow server: its process group, its port, its log."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import psutil

from tracking.server.training_face import NAME

_LOG_TAIL_LINES: Final = 12
_EXEC_SECONDS: Final = 1.0
_TERM_SECONDS: Final = 10.0
_KILL_SECONDS: Final = 5.0


def launch(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    """Start `mlflow server` in a process group of its own; its database, artifacts and log are in `folder`.

    It works elsewhere: Python and uvicorn look for modules where they work, and what lies in a home is data.
    """
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts"),
        *("--artifacts-destination", (folder / "artifacts").as_uri()),
        *("--allowed-hosts", "localhost,localhost:*,127.0.0.1,127.0.0.1:*"),
        *("--uvicorn-opts", "--timeout-graceful-shutdown 3"),
    ]
    if NAME in entry_points(group="mlflow.app").names:  # not where oplstm is run from a checkout, never installed
        command += ["--app-name", NAME]
    # A user's MLFLOW_ variables, such as a backend store, are meant for another server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PYTHONSAFEPATH"] = "1"
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=os.sep,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def is_server_of(folder: Path, pid: int) -> bool:
    """Whether `pid` is a server with its database in `folder`, or led one of which a worker is left.

    Times do not tell: a process's time of creation moves when the clock is set or the machine was asleep.
    """
    try:
        process = psutil.Process(pid)
        deadline = time.monotonic() + _EXEC_SECONDS
        while not (command := process.cmdline()) and time.monotonic() < deadline:
            time.sleep(0.01)  # a program that is just being started has no command line for an instant
    except psutil.AccessDenied:
        return False
    except psutil.NoSuchProcess:  # and zombies: as long as its workers live, no other group can have its number
        return group_exists(pid)
    return any(str(folder / "mlflow.db") in word for word in command)


def group_exists(pid: int) -> bool:
    """Whether a process of the group that `pid` leads, or led, is alive; one that only waits to be reaped is not."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(_is_member(process, pid) for process in psutil.process_iter())


def _is_member(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.Error):
        return False


def group_listens(pid: int, port: int) -> bool:
    """Whether a process of the group that `pid` leads listens on `port`; True where the system does not tell."""
    members = [process for process in psutil.process_iter() if _is_member(process, pid)]
    try:
        connections = [found for member in members for found in member.net_connections("tcp")]
    except psutil.Error:
        return True
    return any(found.status == psutil.CONN_LISTEN and found.laddr.port == port for found in connections)


def end_group(pid: int) -> None:
    """Ask the group that `pid` leads to end, and after 10 s make it; returns when it is gone."""
    for sent, patience in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, sent)
        deadline = time.monotonic() + patience
        while group_exists(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if not group_exists(pid):
            return


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def any_free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log_tail(folder: Path) -> str:
    """The last lines of the server's log, as the end of an error text."""
    path = folder / "server.log"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        return f" It left no log at {path}"
    return f" The end of its log, {path}:\n" + "\n".join(lines)
