"""The embedded server: one a home, private, found again, gone when stopped, whatever signal comes when."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from oplstm.errors import RequestError, WorkError
from tests.conftest import ROOT
from tests.tracking.faulty_proxy import wait_until
from tracking.server.embedded import Server, ensure_server, running_server
from tracking.server.ending import end_unused_server
from tracking.server.process import group_exists
from tracking.server.record import ServerRecord


@pytest.mark.integration
def test_a_second_caller_gets_the_same_server_and_does_not_stop_it(server: Server) -> None:
    again = ensure_server(server.folder.parent)
    assert (again.uri, again.pid) == (server.uri, server.pid)
    again.stop()
    assert server.is_ready()
    record = json.loads((server.folder / "server.json").read_text())
    assert record["version"] == 1
    assert (record["pid"], record["uri"]) == (server.pid, server.uri)
    assert record["port"] == int(server.uri.rpartition(":")[2])


@pytest.mark.integration
def test_it_is_private_and_frugal(server: Server) -> None:
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert {os.getpgid(process.pid) for process in family} == {server.pid}
    listening = [c.laddr.ip for process in family for c in process.net_connections() if c.status == "LISTEN"]
    assert set(listening) == {"127.0.0.1"}
    request = urllib.request.Request(f"{server.uri}/api/2.0/mlflow/experiments/get?experiment_id=0")
    request.add_header("Host", "evil.example")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10)
    assert len(family) <= 3  # the command, the server, and multiprocessing's tracker
    assert sum(process.memory_info().rss for process in family) < 1.5e9
    assert (server.folder / "mlflow.db").exists()
    assert list(Path.cwd().glob("mlruns")) == [] and list(Path.cwd().glob("mlflow.db")) == []


@pytest.mark.long
@pytest.mark.timeout(240)
def test_its_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in a folder with an awkward name, stop, start again at the same address, kill its head, start again."""
    home = tmp_path / "my home 100%"
    monkeypatch.setenv("MLFLOW_STATIC_PREFIX", "/elsewhere")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    found: list[Server] = []
    threads = [threading.Thread(target=lambda: found.append(ensure_server(home, wait=False))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.pid for server in found}) == 1
    first = found[0]
    waits: list[float] = []
    first.wait_ready(on_wait=waits.append)
    assert waits
    assert first.is_ready()
    for server in found:
        server.stop()
    for server in found:
        if server._process is not None:
            server._process.wait()
    assert not group_exists(first.pid) and not (home / "mlflow" / "server.json").exists()
    first.stop()

    second = ensure_server(home)
    assert second.pid != first.pid
    os.kill(second.pid, signal.SIGKILL)
    second._process.wait()  # type: ignore[union-attr]
    third = ensure_server(home)
    try:
        second.stop()
        assert third.pid != second.pid and third.is_ready()
        assert third.uri == second.uri
        assert not group_exists(second.pid)
    finally:
        third.stop()


@pytest.mark.slow
def test_a_server_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(WorkError, match=r"ended while it started(.|\n)*server\.log(.|\n)*not a database"):
        ensure_server(tmp_path)


def pretend(folder: Path) -> "subprocess.Popen[bytes]":
    """A process that looks like the server of `folder` from outside."""
    command = [sys.executable, "-c", "import time; time.sleep(30)", f"sqlite:///{folder / 'mlflow.db'}"]
    return subprocess.Popen(command, start_new_session=True)


def test_a_process_that_took_over_the_number_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(
        "tracking.server.embedded.launch", lambda folder, port: (started.append(port), pretend(folder))[1]
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stranger = subprocess.Popen(["sleep", "30"], start_new_session=True)
        record = {"version": 1, "pid": stranger.pid, "port": port, "uri": "http://127.0.0.1:1", "started": 12345.0}
        (tmp_path / "mlflow").mkdir()
        (tmp_path / "mlflow" / "server.json").write_text(json.dumps(record))
        server = ensure_server(tmp_path, wait=False)
        assert server.pid != stranger.pid and stranger.poll() is None and started[0] != port
        server.stop()
        stranger.kill()
        stranger.wait()
        with pytest.raises(RequestError, match=f"port {port} is taken"):
            ensure_server(tmp_path, port=port)


def test_the_last_user_ends_it_whoever_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    starter = ensure_server(tmp_path, wait=False)
    record = tmp_path / "mlflow" / "server.json"  # the clock is set, or the machine was asleep
    record.write_text(json.dumps(json.loads(record.read_text()) | {"started": time.time() + 7}))
    second, third = (ensure_server(tmp_path, wait=False) for _ in range(2))
    assert {server.pid for server in (starter, second, third)} == {starter.pid}
    for server in (starter, starter, second):
        server.stop()
        assert group_exists(starter.pid)
    third.stop()
    assert not group_exists(starter.pid)
    assert not record.exists()
    starter._process.wait()  # type: ignore[union-attr]


@pytest.mark.parametrize("left", ["", "{", "[]", '{"version": 7}', '{"version": 1}', '{"version": 1, "pid": "x"}'])
def test_a_damaged_record_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "server.json").write_text(left)
    server = ensure_server(tmp_path, wait=False)
    assert group_exists(server.pid)
    server.stop()


def test_a_record_names_no_process_that_must_not_be_ended(tmp_path: Path) -> None:
    record = ServerRecord(pid=1234, port=5000, started=1.5)
    record.save(tmp_path)
    assert ServerRecord.load(tmp_path) == record
    said = (tmp_path / "server.json").read_text()
    for pid in ("0", "1", "-5", "1e999", "null"):
        (tmp_path / "server.json").write_text(said.replace("1234", pid))
        assert ServerRecord.load(tmp_path) is None, pid
    for port in ("0", "65536", "-1"):
        (tmp_path / "server.json").write_text(said.replace("5000", port))
        assert ServerRecord.load(tmp_path) is None, port


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mlflow").write_text("a file")
    with pytest.raises(WorkError, match=r"the MLflow server cannot start in .*mlflow: Not a directory"):
        ensure_server(tmp_path, wait=False)


USER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from tracking.server import embedded, process
home, moment = Path(sys.argv[1]), sys.argv[2]
waits = "time.sleep(60)" if moment != "stubborn" else "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
code = "import signal, sys, time; print(flush=True); " + waits

def launch(folder, port):
    command = [sys.executable, "-c", code, f"sqlite:///{folder / 'mlflow.db'}"]
    server = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    server.stdout.readline()
    print(server.pid, flush=True)
    if moment == "launching":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
    return server

embedded.launch = launch
process._TERM_SECONDS = 1.5
try:
    with embedded.running_server(home, wait=False) as server:
        print("serving", flush=True)
        while True:
            time.sleep(0.1)  # not in one: a signal that comes just before a wait does not end it
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def user(home: Path, moment: str) -> "subprocess.Popen[str]":
    """A process that uses a server, which only looks like one from outside."""
    command = [sys.executable, "-c", USER, str(home), moment]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "signals"),
    [
        ("serving", [signal.SIGTERM]),
        ("serving", [signal.SIGHUP]),
        ("stubborn", [signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]),
        ("launching", []),
    ],
)
def test_no_signal_leaves_it_behind(tmp_path: Path, moment: str, signals: list[signal.Signals]) -> None:
    with user(tmp_path, moment) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        if signals:
            assert process.stdout.readline() == "serving\n"
        for number in signals:
            process.send_signal(number)
            time.sleep(0.3)
        process.wait(20)
        assert process.stdout.read() == "interrupted\n"
    assert not group_exists(pid)
    assert not (tmp_path / "mlflow" / "server.json").exists()


def test_a_signal_just_before_it_is_stopped_does_not_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    stop, calls = Server.stop, 0

    def interrupted(server: Server) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        stop(server)

    monkeypatch.setattr(Server, "stop", interrupted)
    with pytest.raises(KeyboardInterrupt), running_server(tmp_path, wait=False) as server:
        pid = server.pid
    assert not group_exists(pid)


@pytest.mark.slow
def test_what_a_killed_user_left_behind_can_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not end_unused_server(tmp_path)
    with user(tmp_path, "serving") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.stdout.readline()
        assert not end_unused_server(tmp_path), "it is in use"
        process.kill()
    assert group_exists(pid)
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    with running_server(tmp_path, wait=False) as server:
        assert server.pid == pid
        assert not end_unused_server(tmp_path), "it is in use again"
    assert not group_exists(pid)
    with user(tmp_path, "serving") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.stdout.readline()
        process.kill()
    assert end_unused_server(tmp_path)
    assert not group_exists(pid) and not (tmp_path / "mlflow" / "server.json").exists()
    assert not end_unused_server(tmp_path)


def test_a_server_that_died_is_revived_at_its_address_and_ended_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    monkeypatch.setattr(Server, "is_ready", Server._is_alive)
    with running_server(tmp_path) as server:
        first, uri = server.pid, server.uri
        server.revive()
        assert server.pid == first, "it lives"
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not server.is_ready())
        server.revive()
        assert (server.pid != first, server.uri) == (True, uri)
        assert group_exists(server.pid) and not group_exists(first)

        second = server.pid

        def ends_when_it_is_asked(self: Server) -> bool:
            if self.pid == second and self._is_alive():
                os.kill(second, signal.SIGKILL)
                wait_until(lambda: not self._is_alive())
            return self._is_alive()

        monkeypatch.setattr(Server, "is_ready", ends_when_it_is_asked)
        server.revive()
        assert server.pid not in (first, second) and group_exists(server.pid)
    assert not group_exists(server.pid)
