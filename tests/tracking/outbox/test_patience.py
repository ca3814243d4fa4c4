"""Waiting for a server: longer each time, as long as it asks for, and known to those who look from outside."""

import threading
import time
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tracking.sweep_records import write_sweep
from tracking.outbox.outbox import Outbox, idle_outbox
from tracking.outbox.patience import LONGEST_ASKED_DELAY, Patience, asked_delay, in_seconds, is_busy
from tracking.outbox.silence import Silence, SilenceFile

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_waits_double_up_to_half_a_minute_and_begin_anew() -> None:
    patience = Patience()
    waits = [patience.next_delay(hurried=False) for _ in range(9)]
    for wait, wanted in zip(waits, [0.5, 1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert 0.8 * wanted <= wait <= 1.2 * wanted
    assert patience.next_delay(hurried=True) <= 1.2 * 2
    patience.reset()
    assert patience.next_delay(hurried=False) <= 1.2 * 0.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), (" 120 ", 120), ("0", 0), ("", 0), ("soon", 0), ("-5", 0), ("99999999", LONGEST_ASKED_DELAY),
     ("Sat, 28 Nov 2020 00:00:00 GMT", 0), ("1.5", 0)],
)  # fmt: skip
def test_what_a_server_asks_for(text: str, seconds: float) -> None:
    assert in_seconds(text) == seconds


def test_a_server_may_name_a_date() -> None:
    assert 50 < in_seconds(formatdate(time.time() + 60, usegmt=True)) <= 60


def test_who_is_busy() -> None:
    assert is_busy(Exception("API request failed (Caused by ResponseError('too many 429 error responses'))"))
    limit = Exception("slow down")
    limit.error_code = "REQUEST_LIMIT_EXCEEDED"  # type: ignore[attr-defined]
    assert is_busy(limit)
    assert not is_busy(Exception("too many 500 error responses"))


def test_the_cheap_call_reads_what_the_server_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [(429, {"Retry-After": "12"}), (503, {"Retry-After": "3"}), (429, {}), (200, {"Retry-After": "5"}), None]

    def http_request(*_: object, **__: object) -> SimpleNamespace:
        if (reply := replies.pop(0)) is None:
            raise ConnectionError("gone")
        return SimpleNamespace(status_code=reply[0], headers=reply[1])

    monkeypatch.setattr("mlflow.utils.rest_utils.http_request", http_request)
    assert [asked_delay("http://127.0.0.1:1") for _ in range(5)] == [12, 3, 0, 0, 0]


def test_silence_has_one_beginning_and_its_last_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    file = SilenceFile(tmp_path / "journal.jsonl.silent")
    file.note(None)
    assert file.read() is None
    for reason in ("refused", "refused", "no answer"):
        file.note(reason)
        now[0] += 60
    assert SilenceFile(tmp_path / "journal.jsonl.silent").read() == Silence(100.0, "no answer")
    file.note(None)
    assert list(tmp_path.iterdir()) == []
    for broken in ("", "[]", '{"since": "x"}'):
        (tmp_path / "journal.jsonl.silent").write_text(broken)
        assert file.read() is None


@pytest.mark.slow
def test_ten_minutes_of_outage_cost_less_than_a_hundredth_of_the_time(
    journal_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor time of the outbox's thread; its waits are counted and not waited for."""
    write_sweep(journal_path, unique, trials=20, steps=100)
    waited, used, through = [0.0], [0.0], threading.Event()

    def rest(outbox: Outbox, seconds: float, *, asked: float = 0.0) -> None:
        waited[0] += asked or seconds
        used[0] = time.thread_time()
        if waited[0] >= 600:
            outbox._closing.set()
            through.set()

    monkeypatch.setattr(Outbox, "_rest", rest)
    import mlflow.tracking  # noqa: F401  (what is imported once is no part of it)

    with Outbox(journal_path, "http://127.0.0.1:1") as outbox:
        assert through.wait(50)
        assert outbox.pending() == 1 + 20 + 20 * 100 + 20 * 4 + 1
    assert used[0] < 0.01 * waited[0]
    silence = idle_outbox(journal_path).silence()
    assert silence is not None
    assert silence.reason == outbox.last_error


def test_a_server_that_asks_for_patience_gets_it_however_great_the_hurry(
    journal_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses two attempts and asks for 7 and 9 seconds; somebody waits for the end meanwhile."""
    write_sweep(journal_path, unique, trials=1, steps=1)
    wanted, waits, attempts = [7.0, 9.0], list[float | None](), list[int]()

    class Closing(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return True

    outbox = Outbox(journal_path, "http://127.0.0.1:1")
    outbox._closing = Closing()
    outbox._delivery._address = "http://127.0.0.1:1"
    outbox._delivery.waiters += 1

    def ship_some(delivery: object) -> bool:
        attempts.append(len(waits))
        if len(attempts) <= 2:
            raise ConnectionError("too many 429 error responses")
        outbox._closing.set()
        return True

    monkeypatch.setattr("tracking.outbox.delivery.Delivery.ship_some", ship_some)
    monkeypatch.setattr("tracking.outbox.delivery.asked_delay", lambda uri: wanted[len(waits)])
    outbox._ship_until_closed()
    assert waits == [7.0, 9.0]
    assert attempts == [0, 1, 2]
