"""The outbox when things break: dead, slow and lying servers, and kill -9 at every point of shipping."""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tracking.conftest import Rest
from tests.tracking.faulty_proxy import FaultyProxy, answer_json, wait_until
from tests.tracking.sweep_records import START, check_sweep, groups, run, write, write_sweep
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox, idle_outbox
from tracking.server.embedded import ensure_server


@pytest.fixture
def proxy(rest: Rest) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(rest.uri)
    yield proxy
    proxy.close()


def refused(path: Path) -> bool:
    return path.with_name(path.name + ".refused").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("drop", id="drop"),
        answer_json(500, "INTERNAL_ERROR"),
        answer_json(503, "TEMPORARILY_UNAVAILABLE"),
        answer_json(429, "REQUEST_LIMIT_EXCEEDED"),
        answer_json(403, "PERMISSION_DENIED"),
        (400, "text/html", b"<html>a proxy's own opinion</html>"),
        (401, "text/html", b"<html>log in</html>"),
        (404, "text/html", b"<html>some other program has the port</html>"),
        (404, "application/json", b'{"detail": "Not Found"}'),
        (413, "text/html", b"<html>too large</html>"),
        (502, "text/html", b"<html>bad gateway</html>"),
        (200, "text/html", b"<html>a hotel's login page</html>"),
    ],
    ids=str,
)
def test_no_temporary_fault_loses_or_doubles_anything(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str, fault: tuple[int, str, bytes] | str
) -> None:
    """A third of the calls fail, anywhere; then everything fails for a while; then the server is well again."""
    write_sweep(journal_path, unique, trials=2, steps=6)
    dice = random.Random(1)
    proxy.fault = lambda request: fault if dice.random() < 0.34 else None
    with Outbox(journal_path, proxy.uri) as outbox:
        outbox.flush(1)
        proxy.fault = lambda request: fault
        with Journal(journal_path) as journal:
            write(journal, records.Tags(f"{unique}/sweep", {"late": "yes"}))
        assert outbox.flush(0.5) > 0
        wait_until(lambda: outbox.last_error)
        assert "\n" not in str(outbox.last_error)
        proxy.fault = lambda request: None
        assert outbox.flush(30) == 0, outbox.last_error
        wait_until(lambda: outbox.last_error is None)
    check_sweep(rest, unique, trials=2, steps=6)
    assert not refused(journal_path)


def forget(home: Path, run_id: str) -> None:
    """Take a run out of a server's database for good, as if it had been restored from before that run."""
    with contextlib.closing(sqlite3.connect(home / "mlflow" / "mlflow.db", timeout=30)) as database:
        for table in ("latest_metrics", "metrics", "params", "tags", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", (run_id,))  # noqa: S608
        database.commit()


@pytest.mark.slow
def test_after_one_outage_of_each_kind_everything_is_there_once_and_in_order(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The journal grows through all of them. In the end the server is another, empty one, and then loses a run."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setattr("tracking.outbox.patience.LONGEST_DELAY", 0.5)
    full = b'{"error_code": "INTERNAL_ERROR", "message": "(sqlite3.OperationalError) database or disk is full"}'
    outages: list[tuple[int, str, bytes] | tuple[int, str, bytes, str] | str] = [
        "drop",
        (429, "text/html", b"<html>slow down</html>", "1"),
        answer_json(500, "INTERNAL_ERROR"),
        (500, "application/json", full),
        (503, "text/html", b"<html>starting</html>", "soon"),
        "hang",
    ]
    (journal_path.parent / "best.txt").write_text("weights")
    to_come = list(groups(unique, trials=3, steps=40))
    empty = ensure_server(tmp_path / "empty")
    try:
        with Journal(journal_path) as journal, Outbox(journal_path, proxy.uri) as outbox:

            def some(parts: int) -> None:
                for _ in range(len(to_come) // parts):
                    write(journal, *to_come.pop(0))

            some(9)
            assert outbox.flush(60) == 0, outbox.last_error
            for left, fault in zip(range(8, 0, -1), outages, strict=False):
                proxy.fault = lambda request, fault=fault: fault  # type: ignore[misc]
                some(left)
                wait_until(lambda: outbox.last_error, 30)
                known = idle_outbox(journal_path)
                assert known.pending() > 0
                wait_until(lambda known=known: known.silence() is not None)  # type: ignore[misc]
                proxy.fault = lambda request: None
                assert outbox.flush(60) == 0, outbox.last_error
                wait_until(lambda known=known: known.silence() is None)  # type: ignore[misc]
            proxy.fault = lambda request: time.sleep(0.2)  # slow, and right
            some(2)
            proxy.upstream = empty.uri
            some(2)
            assert outbox.flush(60) == 0, outbox.last_error
            proxy.fault = lambda request: None
            run_id = outbox.run_id(f"{unique}/trial-0001")
            assert run_id is not None
            forget(tmp_path / "empty", run_id)
            some(1)
            assert not to_come
            assert outbox.flush(60) == 0, outbox.last_error
            assert outbox.run_id(f"{unique}/trial-0001") != run_id
        check_sweep(Rest(empty.uri), unique)
        assert not refused(journal_path)
    finally:
        empty.stop()


@pytest.mark.integration
def test_a_dead_server_delays_no_append_and_everything_arrives_when_it_is_back(
    rest: Rest, journal_path: Path, unique: str
) -> None:
    gone = FaultyProxy(rest.uri)
    gone.close()
    key = f"{unique}/run"
    with Journal(journal_path) as journal, Outbox(journal_path, gone.uri) as outbox:
        slowest = 0.0
        write(journal, run(key, None, unique, 0))
        for step in range(400):
            started = time.monotonic()
            write(journal, records.Points(key, step=step, metrics={"val/loss": 1.0}, timestamp=START + step))
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.002)
        assert slowest < 0.2
        assert outbox.flush(0.5) == 401
        wait_until(lambda: outbox.last_error)
        back = FaultyProxy(rest.uri, port=gone.port)
        assert outbox.flush(30) == 0, outbox.last_error
        back.close()
    assert len(rest.history(rest.runs(unique)[key][0], "val/loss")) == 400


@pytest.mark.slow
def test_creations_that_a_slow_server_carries_out_twice_leave_one_run(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")  # a busy machine may need seconds for a call
    write_sweep(journal_path, unique, trials=1, steps=3)
    slow = iter([True, True])

    def delay(request: str) -> str | None:
        if request.endswith("runs/create") and next(slow, False):
            time.sleep(5)  # longer than the client waits; then it is carried out all the same
        return None

    proxy.fault = delay
    with Outbox(journal_path, proxy.uri) as outbox:
        assert outbox.flush(90) == 0, outbox.last_error
        creations = sum(request.endswith("runs/create") for request in proxy.seen)
        assert creations > 2
        wait_until(lambda: sum(map(len, rest.runs(unique, "ALL").values())) == creations, 30)  # the late ones too
        wait_until(lambda: sum(map(len, rest.runs(unique).values())) == 2, 60)
    check_sweep(rest, unique, trials=1, steps=3)


@pytest.mark.slow
def test_a_creation_that_is_carried_out_after_its_process_was_killed_leaves_one_run(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str
) -> None:
    import mlflow  # noqa: F401

    write_sweep(journal_path, unique, trials=1, steps=3)
    held, created = threading.Event(), "runs/create"
    proxy.fault = lambda request: held.wait(60) and None if request.endswith(created) else None
    pid = start_shipping(journal_path, proxy.uri)
    wait_until(lambda: any(request.endswith(created) for request in proxy.seen))
    kill(pid)
    proxy.fault = lambda request: None
    with Outbox(journal_path, proxy.uri) as outbox:
        assert outbox.flush(30) == 0, outbox.last_error
        held.set()
        wait_until(lambda: sum(map(len, rest.runs(unique, "ALL").values())) == 3)  # the late one too
    with Outbox(journal_path, proxy.uri) as outbox:  # as `doctor` does
        outbox.flush(30)
    check_sweep(rest, unique, trials=1, steps=3)


@pytest.mark.integration
@pytest.mark.parametrize("call", ["experiments/create", "runs/create"])
def test_an_empty_answer_to_a_creation_is_not_believed(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str, call: str
) -> None:
    write_sweep(journal_path, unique, trials=1, steps=2)
    proxy.fault = lambda request: (200, "application/json", b"{}") if request.endswith(call) else None
    with Outbox(journal_path, proxy.uri) as outbox:
        wait_until(lambda: outbox.last_error)
        proxy.fault = lambda request: None
        assert outbox.flush(30) == 0, outbox.last_error
    check_sweep(rest, unique, trials=1, steps=2)


@pytest.mark.integration
def test_an_artifact_store_that_is_down_does_not_hold_up_the_points(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str
) -> None:
    write_sweep(journal_path, unique)
    proxy.fault = lambda request: answer_json(500, "INTERNAL_ERROR") if request.startswith("PUT") else None
    with Outbox(journal_path, proxy.uri) as outbox:
        wait_until(lambda: outbox.pending() == 6, 40)  # 3 artifacts and 3 curves
        trial = rest.runs(unique)[f"{unique}/trial-0000"][0]
        assert trial["info"]["status"] == "FINISHED"
        assert len(rest.history(trial, "val/loss")) == 40
    with Outbox(journal_path, proxy.uri) as outbox:
        assert outbox.pending() == 6
        proxy.fault = lambda request: None
        assert outbox.flush(30) == 0
    check_sweep(rest, unique)


@pytest.mark.slow
def test_closing_is_quick_whatever_the_server_does(proxy: FaultyProxy, journal_path: Path, unique: str) -> None:
    write_sweep(journal_path, unique, trials=1, steps=3)

    def hang(request: str) -> None:
        time.sleep(15)

    proxy.fault = hang
    outbox = Outbox(journal_path, proxy.uri)
    outbox.start()
    wait_until(lambda: proxy.seen)
    started = time.monotonic()
    outbox.close()
    assert time.monotonic() - started < 6


def start_shipping(path: Path, uri: str) -> int:
    """Fork a process that ships until it is killed; a fork has MLflow imported already."""
    pid = os.fork()
    if pid == 0:
        try:
            Outbox(path, uri).start()
            time.sleep(60)
        finally:
            os._exit(0)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["experiments/create", "runs/create", "runs/log-batch", "runs/update", "artifacts"])
def test_kill_9_between_what_the_server_did_and_knowing_it(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str, call: str
) -> None:
    """The server carries out the 1st, 2nd, 3rd such call, and the shipper dies before it gets the answer."""
    import mlflow  # noqa: F401

    write_sweep(journal_path, unique, trials=2, steps=5)
    for number in range(1 if call == "experiments/create" else 3):
        hits: list[str] = []
        victim: list[int] = []

        def strike(request: str, hits: list[str] = hits, victim: list[int] = victim, number: int = number) -> None:
            if call in request and not request.startswith("GET"):
                hits.append(request)
                if len(hits) == 1 + number % 2:
                    kill(victim[0])
                    victim.clear()

        proxy.after = strike
        victim.append(start_shipping(journal_path, proxy.uri))
        deadline = time.monotonic() + (8 if number else 60)  # after the first, there may be no more
        while victim and time.monotonic() < deadline:
            time.sleep(0.02)
        assert number or not victim, f"{call} was never called"
        if victim:  # all such calls are done with
            kill(victim[0])
    proxy.after = lambda request: None
    with Outbox(journal_path, proxy.uri) as outbox:
        assert outbox.flush(30) == 0, outbox.last_error
    check_sweep(rest, unique, trials=2, steps=5)
    assert not refused(journal_path)


@pytest.mark.integration
def test_kill_9_at_random_while_the_sweep_goes_on(
    rest: Rest, proxy: FaultyProxy, journal_path: Path, unique: str
) -> None:
    import mlflow  # noqa: F401

    dice = random.Random(7)
    (journal_path.parent / "best.txt").write_text("weights")
    to_come = list(groups(unique, trials=4, steps=50))
    rounds = 8
    for number in range(rounds):
        pid = start_shipping(journal_path, proxy.uri)
        with Journal(journal_path) as journal:
            for group in to_come[number * len(to_come) // rounds : (number + 1) * len(to_come) // rounds]:
                write(journal, *group)
        time.sleep(dice.uniform(0.05, 0.9))
        kill(pid)
    with Outbox(journal_path, proxy.uri) as outbox:
        assert outbox.flush(30) == 0, outbox.last_error
    check_sweep(rest, unique, trials=4, steps=50)
    assert not refused(journal_path)
