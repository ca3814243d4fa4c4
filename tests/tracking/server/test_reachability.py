"""What is found at the address of a tracking server, and what is said about it; passwords are never said."""

import os
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from oplstm.errors import RequestError
from tests.tracking.conftest import Rest
from tests.tracking.faulty_proxy import FaultyProxy, basic
from tests.tracking.sweep_records import check_sweep, write_sweep
from tracking.outbox.outbox import Outbox
from tracking.results.crowning import Validated
from tracking.results.registry import Registered, Registration, register_model
from tracking.results.views import sweep_url
from tracking.server.access import PASSWORD, USERNAME, without_credentials
from tracking.server.client import connect, one_line
from tracking.server.reachability import check_reachable


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("myhost", "http://myhost"),
        ("mlruns", "mlflow server --backend-store-uri mlruns"),
        ("./mlruns", "mlflow server --backend-store-uri ./mlruns"),
        ("../my runs", "mlflow server --backend-store-uri '../my runs'"),
        ("/data/mlruns", "leave it out to use the local server"),
        ("~/mlruns", "leave it out to use the local server"),
        ("", "should look like http://localhost:5000"),
        ("http://", "should look like http://localhost:5000"),
        ("http://host:port", "should look like http://localhost:5000"),
        ("file:///data/mlruns", "--backend-store-uri file:///data/mlruns"),
        ("sqlite:///mlflow.db", "--backend-store-uri sqlite:///mlflow.db"),
        ("postgresql://user@host/db", "only http:// and https:// servers"),
        ("http://host:5000/a b", "should look like http://localhost:5000"),
        ("http://host:5000\n", "should look like http://localhost:5000"),
    ],
)
def test_addresses_that_are_refused_unseen(uri: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_reachable(uri)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.integration
def test_a_silent_address_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(RequestError, match=r"no answer in 1 s; is the host up"):
            check_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1)
        assert time.monotonic() - started < 8  # the first call imports MLflow


WORTH = Validated(0.5, False, "a run", "loss: sine")
SECRET = "p@ss/w%rd:x"  # must be escaped in an address, and is given as it is too
ESCAPED = quote(SECRET, safe="")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://host:5000/prefix", "http://host:5000/prefix"),
        (f"http://ann:{ESCAPED}@host:5000/prefix", "http://host:5000/prefix"),
        (f"http://ann:{SECRET}@host:5000", "http://host:5000"),
        ("http://token@host", "http://host"),
        (f"ann:{SECRET}@host:5000", "host:5000"),
        (f"postgresql://ann:{SECRET}@host/db", "postgresql://host/db"),
        ("", ""),
    ],
)
def test_addresses_are_shown_without_credentials(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown
    if "://" in uri:
        assert one_line(ConnectionError(f"call of {uri} failed:\n 5 times")) == f"call of {shown} failed: 5 times"
    assert sweep_url(uri, "1", sweep_key="s", metric="m", ascending=True).startswith(f"{shown}/#/experiments/1")


@pytest.mark.parametrize(
    "uri",
    [
        f"http://ann:{SECRET}@host:5000",
        f"ann:{SECRET}@host:5000",
        f"http://ann:{ESCAPED}@host:port",
        f"postgresql://ann:{SECRET}@host/db",
        "http://ann:p ss@host",
    ],
)
def test_no_complaint_about_an_address_tells_its_password(uri: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_reachable(uri, timeout=5)
    for part in (SECRET, ESCAPED, "w%rd", "ann", "p ss"):
        assert part not in str(caught.value)


@pytest.mark.integration
@pytest.mark.parametrize("place", ["address", "environment"])
def test_a_server_behind_a_password_takes_everything(
    rest: Rest, journal_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    proxy = FaultyProxy(rest.uri)
    proxy.guard = basic("ann", SECRET)
    for name in (USERNAME, PASSWORD):
        monkeypatch.setenv(name, "wrong")
    with pytest.raises(RequestError, match=f"it refuses the user name and password of {USERNAME}"):
        check_reachable(proxy.uri)
    if place == "environment":
        monkeypatch.setenv(USERNAME, "ann")
        monkeypatch.setenv(PASSWORD, SECRET)
        uri = proxy.uri
    else:
        uri = f"http://ann:{ESCAPED}@127.0.0.1:{proxy.port}"
    check_reachable(uri)
    write_sweep(journal_path, unique, trials=1, steps=2)
    with Outbox(journal_path, uri) as outbox:
        assert outbox.flush(30) == 0, outbox.last_error
        run_id = outbox.run_id(f"{unique}/trial-0000")
    check_sweep(rest, unique, trials=1, steps=2)
    assert run_id is not None
    monkeypatch.setattr("tracking.results.registry._signature", lambda model_dir: None)  # it holds no model
    (model_dir := journal_path.parent / "model").mkdir()
    (model_dir / "run.json").write_text("{}")
    model = Registration(unique, run_id, model_dir, description="", tags={"of": "a"}, replaces="of", validated=WORTH)
    assert register_model(uri, model) == Registered("1", None)
    client = connect(uri)
    assert (client.tracking_uri, client._registry_uri) == (proxy.uri, proxy.uri)
    assert os.environ[PASSWORD] == SECRET
    proxy.close()


@pytest.mark.integration
def test_a_failing_outbox_does_not_tell_the_password(
    journal_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (USERNAME, PASSWORD):
        monkeypatch.setenv(name, "")
    write_sweep(journal_path, unique, trials=1, steps=2)
    for uri in (f"http://ann:{ESCAPED}@127.0.0.1:1", "http://token@127.0.0.1:1"):
        with Outbox(journal_path, uri) as outbox:
            assert outbox.flush(2) > 0
            assert outbox.last_error is not None and "127.0.0.1" in outbox.last_error
            assert ESCAPED not in outbox.last_error and "token" not in outbox.last_error
        with pytest.raises(
            RequestError, match=r"tracking server http://127\.0\.0\.1:1: refused, nothing listens at 127"
        ):
            check_reachable(uri)
