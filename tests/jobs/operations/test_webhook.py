"""A web address is told how work ends and that it stalls; it never holds the work up, and stays a secret."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobs.operations import webhook
from jobs.operations.webhook import ADDRESS, STALLED, telling
from jobs.store.home import Home
from oplstm.errors import RequestError, WorkError

SECRET = "T0-a-secret-path"


class Address:
    """A web address that answers with these statuses, the last of them for ever, and keeps what it took."""

    def __init__(self, *statuses):
        self.taken, self.tries, self._statuses = [], 0, list(statuses)
        self.came = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.tries += 1
                status = outer._statuses.pop(0) if len(outer._statuses) > 1 else outer._statuses[0]
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if status < 300:
                    outer.taken.append(told)
                    outer.came.set()
                self.send_response(status)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{SECRET}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def address(monkeypatch):
    """Makes addresses, which the environment names."""
    monkeypatch.setattr(webhook, "WAITS", (0.01, 0.01))
    made = []

    def make(*statuses):
        made.append(Address(*statuses))
        monkeypatch.setenv(ADDRESS, made[-1].url)
        return made[-1]

    yield make
    for one in made:
        one.close()


def work(home, name="a-sweep", *, error=None):
    """What the address was told too little of, after work that ends so."""
    warned = []
    raised = contextlib.nullcontext() if error is None else pytest.raises(type(error))
    with raised, telling(home, name, warn=warned.append):
        if error is not None:
            raise error
    return warned


@pytest.mark.integration
@pytest.mark.parametrize(
    ("error", "event"), [(WorkError("no\nroom"), "failed"), (KeyboardInterrupt(), "stopped"), (None, "stopped")]
)
def test_how_work_ended_is_told_once_after_some_tries(oplstm_home, address, error, event):
    told = address(500, 429, 204)
    assert work(Home(), error=error) == []
    [message] = told.taken
    assert (message["event"], message["name"], told.tries) == (event, "a-sweep", 3)
    assert message.get("error") == ("no room" if event == "failed" else message.get("error"))


@pytest.mark.integration
def test_what_is_done_is_told_with_its_status(small_sweep, address):
    told = address(204)
    assert work(Home(), "small") == []
    [message] = told.taken
    assert message["event"] == "done"
    assert message["status"]["state"] == "complete" and message["status"]["best"] > 0


@pytest.mark.integration
def test_a_request_that_was_refused_is_not_told(oplstm_home, address):
    told = address(204)
    assert work(Home(), error=RequestError("no such job")) == []
    assert told.tries == 0


@pytest.mark.integration
def test_what_nobody_takes_costs_a_line_that_keeps_the_secret(oplstm_home, address):
    told = address(500)
    [warning] = work(Home())
    assert told.tries == 3
    assert "127.0.0.1" in warning and "500" in warning and "\n" not in warning
    assert SECRET not in warning


@pytest.mark.integration
def test_a_stall_is_told_once_until_something_new_comes(oplstm_home, address, monkeypatch):
    told, home = address(204), Home()
    monkeypatch.setenv(STALLED, "0.002")
    monkeypatch.setattr(webhook, "LOOKS", 0.01)
    folder = home.sweep_folder("a-sweep")
    folder.path.mkdir(parents=True)
    looks, size = threading.Semaphore(0), webhook._Teller._size
    monkeypatch.setattr(webhook._Teller, "_size", lambda teller: looks.release() or size(teller))
    with telling(home, "a-sweep", warn=pytest.fail):
        assert told.came.wait(60)
        while looks.acquire(blocking=False):
            pass
        assert all(looks.acquire(timeout=60) for _ in range(5))
        assert len(told.taken) == 1, "it was looked again, and nothing had come"
        told.came.clear()
        folder.journal.write_text("a point")
        assert told.came.wait(60), "it moved, and stalls again"
    assert [message["event"] for message in told.taken] == ["stalled", "stalled", "stopped"]
    assert all(message["minutes"] >= 0 for message in told.taken[:2])


@pytest.mark.parametrize("url", ["ftp://host/x", "host/secret", "http://", "http://host:port/secret", "http://a b/"])
def test_what_is_no_address_is_refused_without_saying_it(oplstm_home, monkeypatch, url):
    monkeypatch.setenv(ADDRESS, url)
    with pytest.raises(RequestError) as caught, telling(Home(), "a-sweep", warn=pytest.fail):
        pytest.fail("began")
    assert ADDRESS in str(caught.value) and url not in str(caught.value)


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan", "inf"])
def test_a_time_that_is_none_is_refused(oplstm_home, monkeypatch, minutes):
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:1/")
    monkeypatch.setenv(STALLED, minutes)
    with pytest.raises(RequestError, match=STALLED), telling(Home(), "a-sweep", warn=pytest.fail):
        pytest.fail("began")


def test_without_an_address_nobody_is_told(oplstm_home, monkeypatch):
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(webhook.Webhook, "post", lambda *arguments: pytest.fail("posted"))
    with telling(Home(), "a-sweep", warn=pytest.fail):
        pass
