"""The embedded server: one a home, private, found again, gone when stopped; and what is said of other addresses."""

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
from tests.tracking.conftest import Rest
from tests.tracking.faulty_proxy import FaultyProxy
from tracking.server.embedded import Server, ensure_server
from tracking.server.process import group_exists
from tracking.server.reachability import check_reachable


@pytest.mark.integration
def test_a_second_caller_gets_the_same_server_and_does_not_stop_it(server: Server) -> None:
    again = ensure_server(server.folder.parent)
    assert (again.uri, again.pid, again.owned) == (server.uri, server.pid, False)
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


@pytest.mark.slow
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
    assert sorted(server.owned for server in found) == [False, True]
    assert len({server.pid for server in found}) == 1
    first = next(server for server in found if server.owned)
    waits: list[float] = []
    first.wait_ready(on_wait=waits.append)
    assert waits
    check_reachable(first.uri)
    for server in found:
        server.stop()
    assert not group_exists(first.pid) and not (home / "mlflow" / "server.json").exists()
    first.stop()
    first._process.wait()  # type: ignore[union-attr]

    second = ensure_server(home)
    assert second.owned
    os.kill(second.pid, signal.SIGKILL)
    second._process.wait()  # type: ignore[union-attr]
    third = ensure_server(home)
    try:
        second.stop()
        assert third.owned and third.pid != second.pid and third.is_ready()
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


@pytest.mark.unit
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
        assert server.owned and stranger.poll() is None and started[0] != port
        server.stop()
        stranger.kill()
        stranger.wait()
        with pytest.raises(RequestError, match=f"port {port} is taken"):
            ensure_server(tmp_path, port=port)


@pytest.mark.unit
def test_the_last_user_ends_it_whoever_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    starter = ensure_server(tmp_path, wait=False)
    record = tmp_path / "mlflow" / "server.json"  # the clock is set, or the machine was asleep
    record.write_text(json.dumps(json.loads(record.read_text()) | {"started": time.time() + 7}))
    second, third = (ensure_server(tmp_path, wait=False) for _ in range(2))
    assert [server.owned for server in (starter, second, third)] == [True, False, False]
    for server in (starter, starter, second):
        server.stop()
        assert group_exists(starter.pid)
    third.stop()
    assert not group_exists(starter.pid)
    starter._process.wait()  # type: ignore[union-attr]


@pytest.mark.unit
@pytest.mark.parametrize("left", ["", "{", "[]", '{"version": 7}', '{"version": 1}', '{"version": 1, "pid": "x"}'])
def test_a_damaged_record_is_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    monkeypatch.setattr("tracking.server.embedded.launch", lambda folder, _: pretend(folder))
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "server.json").write_text(left)
    server = ensure_server(tmp_path, wait=False)
    assert server.owned
    server.stop()


@pytest.mark.unit
@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("mlruns", "http://mlruns"),
        ("", "should look like http://localhost:5000"),
        ("http://", "should look like http://localhost:5000"),
        ("http://host:port", "should look like http://localhost:5000"),
        ("file:///data/mlruns", "--backend-store-uri file:///data/mlruns"),
        ("sqlite:///mlflow.db", "--backend-store-uri sqlite:///mlflow.db"),
        ("postgresql://user@host/db", "only http:// and https:// servers"),
    ],
)
def test_addresses_that_are_refused_unseen(uri: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_reachable(uri)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.integration
def test_what_is_found_at_an_address(rest: Rest) -> None:
    check_reachable(rest.uri)
    check_reachable(rest.uri + "/")
    proxy = FaultyProxy(rest.uri)
    for fault, said in (
        ("drop", "no MLflow server answers there"),
        ((200, "text/html", b"<html>hello</html>"), "no MLflow server answers there"),
        ((200, "text/plain", b"OK"), "does not answer as an MLflow server does"),
    ):
        proxy.fault = lambda request, fault=fault: fault  # type: ignore[misc]
        with pytest.raises(RequestError, match=said):
            check_reachable(proxy.uri)
    proxy.close()
    with pytest.raises(RequestError, match="no MLflow server answers there"):
        check_reachable(proxy.uri)


@pytest.mark.integration
def test_a_silent_address_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(RequestError, match=r"no answer in 1 s|no MLflow server answers"):
            check_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1)
        assert time.monotonic() - started < 8  # the first call imports MLflow
