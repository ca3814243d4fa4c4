"""What stands between a client and an MLflow server is said in one line each, and never with a secret in it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oplstm.errors import RequestError
from tests.tracking.certificates import Authority
from tests.tracking.conftest import Rest
from tests.tracking.faulty_proxy import FaultyProxy, answer_json, basic, bearer, proxy_basic
from tests.tracking.sweep_records import check_sweep, write_sweep
from tracking.outbox.outbox import Outbox
from tracking.server.access import AUTHORITY, CLIENT_CERTIFICATE, PASSWORD, TOKEN, USERNAME, Access, redacted, settle
from tracking.server.client import connect, one_line
from tracking.server.reachability import check_reachable

SECRET = "s3cr%t/of ann"
A_TOKEN = "token-0123456789"
PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None of this user's credentials, certificates and proxies; afterwards they are there again."""
    for name in [*os.environ]:
        if name.startswith("MLFLOW_TRACKING_") or name.lower() in PROXY_NAMES:
            monkeypatch.delenv(name)
    for name in (USERNAME, PASSWORD, TOKEN, "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")  # so that what a test sets is gone after it
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def front(rest: Rest) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(rest.uri)
    yield proxy
    proxy.close()


def refusal(uri: str, timeout: float = 10) -> str:
    """What is said of it: one line that names the address."""
    with pytest.raises(RequestError) as caught:
        check_reachable(uri, timeout)
    text = str(caught.value)
    shown = uri.partition("://")[0] + "://" + uri.rpartition("@")[2].rpartition("://")[2]
    assert "\n" not in text and text.startswith(f"tracking server {shown}: ")
    for secret in (SECRET, A_TOKEN):
        assert secret not in text
    return text.removeprefix(f"tracking server {shown}: ")


@pytest.mark.integration
def test_what_answers_there_is_told_apart(rest: Rest, front: FaultyProxy) -> None:
    check_reachable(rest.uri)
    check_reachable(rest.uri + "/")
    page, plain = "text/html", "text/plain"
    stranger = "something else than an MLflow server answers there"
    answers: list[tuple[Any, str]] = [
        ("drop", "was closed without an answer"),
        ((200, page, b"<html>hello</html>"), f"{stranger} (HTTP 200); check the address and its path"),
        ((200, plain, b"OK"), stranger),
        ((200, "application/json", b"{}"), stranger),
        ((200, "application/json", b'{"status": "fine"}'), stranger),
        ((404, page, b"<html>" + b"?" * 5000), f"{stranger} (HTTP 404)"),
        ((403, plain, b"Invalid Host header - possible"), "HTTP 403: Invalid Host header - possible)"),
        (answer_json(403, "PERMISSION_DENIED"), "(HTTP 403: made up)"),
        ((503, page, b"<html>"), "it is not well, or what stands before it is not (HTTP 503)"),
        (answer_json(500, "INTERNAL_ERROR"), "(HTTP 500: made up)"),
    ]
    for answer, said in answers:
        front.fault = lambda request, answer=answer: answer  # type: ignore[misc]
        assert said in refusal(front.uri), answer
    front.fault = lambda request: (404, page, b"") if request.endswith("/health") else None
    check_reachable(front.uri)  # a host that has no /health
    front.close()
    assert refusal(front.uri).startswith(f"refused, nothing listens at 127.0.0.1:{front.port}; check")


@pytest.mark.integration
def test_a_host_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refusal("https://mlflow.exmaple:5000/x") == "the host mlflow.exmaple is not known; check the address"


@pytest.mark.integration
def test_credentials_come_from_environment_address_or_file(
    front: FaultyProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front.guard = bearer(A_TOKEN)
    none = f"it refuses calls without credentials: set {TOKEN}, or {USERNAME} and {PASSWORD} (HTTP 401)"
    assert refusal(front.uri) == none
    for wrong, said in (("other", f"it refuses the token of {TOKEN} (HTTP 401)"), (A_TOKEN + "\n", "cannot be sent")):
        monkeypatch.setenv(TOKEN, wrong)
        assert said in refusal(front.uri)
    monkeypatch.setenv(TOKEN, A_TOKEN)
    check_reachable(front.uri)

    front.guard = basic("ann", SECRET)
    assert f"the token of {TOKEN}" in refusal(front.uri)
    (tmp_path / ".mlflow").mkdir()
    file = tmp_path / ".mlflow" / "credentials"
    file.write_text(f"[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = {SECRET}\n")
    assert refusal(front.uri) == "MLflow cannot read ~/.mlflow/credentials; a % in a password is written %% there"
    file.write_text(file.read_text().replace("%", "%%"))
    check_reachable(front.uri)
    assert redacted(f"the password is {SECRET}!") == "the password is ***!"
    monkeypatch.setenv(PASSWORD, "not that of the file")
    assert f"the user name and password of {USERNAME} and {PASSWORD}, or of ~/.mlflow" in refusal(front.uri)
    file.unlink()
    monkeypatch.setenv(USERNAME, "bob")
    check_reachable(front.uri.replace("://", "://ann:s3cr%25t%2Fof%20ann@"))
    monkeypatch.setenv(USERNAME, "bob")
    check_reachable(front.uri.replace("://", "://ann@"))  # its password stands in the environment


@pytest.mark.integration
def test_a_certificate_of_ones_own_authority(
    rest: Rest, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = FaultyProxy(rest.uri, tls=authority.tls, prefix="/mlflow")
    said = refusal(front.uri)
    assert said.startswith("its certificate is not accepted: ") and said.endswith(
        f"; {AUTHORITY} names a file with the certificate of its authority"
    )
    monkeypatch.setenv(AUTHORITY, str(tmp_path / "nowhere.pem"))
    assert refusal(front.uri) == f"there is no file {tmp_path}/nowhere.pem, which {AUTHORITY} names"
    monkeypatch.setenv(AUTHORITY, str(authority.file))
    check_reachable(front.uri)
    assert "(HTTP 404); check the address and its path" in refusal(front.uri.removesuffix("/mlflow"))
    assert "Hostname mismatch" in refusal(front.uri.replace("127.0.0.1", "localhost"))
    assert "; is it https:// there?" in refusal(front.uri.replace("https", "http"))
    assert refusal(rest.uri.replace("http", "https")).endswith("; is it http:// there?")
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert refusal(front.uri) == f"MLFLOW_TRACKING_INSECURE_TLS and {AUTHORITY} are both set; unset one of them"
    monkeypatch.delenv(AUTHORITY)
    with pytest.warns(match="Unverified HTTPS request"):
        check_reachable(front.uri)
    front.close()


@pytest.mark.integration
def test_a_proxy_of_the_environment(front: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone knows the host; a host of this machine is asked without it."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{front.port}")
    check_reachable("http://mlflow.inside.example")
    assert front.seen.pop().endswith("/experiments/search")
    front.guard = proxy_basic("ann", SECRET)
    proxied = f"the HTTP proxy 127.0.0.1:{front.port}"
    assert refusal("http://mlflow.inside.example").startswith(f"{proxied} wants a user name and password")
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:s3cr%25t%2Fof%20ann@127.0.0.1:{front.port}")
    check_reachable("http://mlflow.inside.example")
    assert one_line(OSError(f"the proxy's password is {SECRET}")) == "the proxy's password is ***"
    front.close()
    assert refusal("http://mlflow.inside.example").startswith(f"{proxied} lets nothing through: ")


@pytest.mark.integration
def test_an_https_server_behind_a_proxy(
    rest: Rest, authority: Authority, journal_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tunnels by CONNECT, and alone knows the host."""
    front, uri = FaultyProxy(rest.uri, tls=authority.tls), "https://mlflow.inside.example"
    proxy = FaultyProxy(front.uri)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert f"; {AUTHORITY} names a file" in refusal(uri)
    monkeypatch.setenv(AUTHORITY, str(authority.file))
    proxy.guard = proxy_basic("ann", SECRET)
    proxied = f"the HTTP proxy 127.0.0.1:{proxy.port}"
    assert refusal(uri).startswith(f"{proxied} wants a user name and password")
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:s3cr%25t%2Fof%20ann@127.0.0.1:{proxy.port}")
    check_reachable(uri)
    write_sweep(journal_path, unique, trials=1, steps=2)
    with Outbox(journal_path, uri) as outbox:
        assert outbox.flush(30) == 0, outbox.last_error
    check_sweep(rest, unique, trials=1, steps=2)
    assert {*proxy.seen} == {"CONNECT mlflow.inside.example:443"}
    proxy.close()
    front.close()


@pytest.mark.integration
def test_a_certificate_of_ones_own(
    rest: Rest, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = FaultyProxy(rest.uri, tls=authority.asking)
    monkeypatch.setenv(AUTHORITY, str(authority.file))
    wants = f"; if it wants a certificate of yours, {CLIENT_CERTIFICATE} names a file with that and its key"
    assert refusal(front.uri).endswith(wants)
    monkeypatch.setenv(CLIENT_CERTIFICATE, str(authority.client))
    check_reachable(front.uri)
    (broken := tmp_path / "broken.pem").write_text("none")
    for name, file, lacks in (
        (CLIENT_CERTIFICATE, broken, "a certificate with its key, which has no password"),
        (CLIENT_CERTIFICATE, authority.file, "a certificate with its key, which has no password"),
        (AUTHORITY, broken, "the certificate of an authority"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(file))
            assert refusal(front.uri) == f"{file}, which {name} names, does not hold {lacks}"
    front.close()


@pytest.mark.integration
def test_an_address_that_sends_elsewhere_is_not_the_server(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """From http:// to https://, or to a page where one logs in: what is posted would not arrive."""
    from requests import Response

    reply, moved = Response(), Response()
    reply.status_code, reply.url, reply.history = 200, "https://login.example/auth?state=secret", [moved]
    monkeypatch.setattr("mlflow.utils.rest_utils.http_request", lambda *_, **__: reply)
    assert refusal(rest.uri) == "it sends on to https://login.example; name that address, or log in there"


def test_how_a_server_is_reached_goes_to_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TOKEN, A_TOKEN)
    monkeypatch.setenv(AUTHORITY, "authority.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@host")
    access = Access.from_here("https://ann:secret@host/mlflow")
    assert access.uri == "https://host/mlflow" and repr(access) == "Access(uri='https://host/mlflow')"
    for name in (TOKEN, AUTHORITY, "HTTPS_PROXY", USERNAME, PASSWORD, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name)
    monkeypatch.chdir("/")
    monkeypatch.setenv("NO_PROXY", "host")  # of that process's own
    assert access() == "https://host/mlflow"
    assert "NO_PROXY" not in os.environ or not os.environ["NO_PROXY"]
    there = {name: os.environ.get(name) for name in (TOKEN, AUTHORITY, "HTTPS_PROXY", USERNAME, PASSWORD)}
    assert there == {
        TOKEN: A_TOKEN, AUTHORITY: str(tmp_path / "authority.pem"), "HTTPS_PROXY": "http://proxy:3128",
        USERNAME: "ann", PASSWORD: "secret",
    }  # fmt: skip
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_errors_of_others_are_said_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, A_TOKEN + "\n")
    monkeypatch.setenv(USERNAME, "ann")
    monkeypatch.setenv(PASSWORD, SECRET)
    header = basic("ann", SECRET)[1]
    for text in (f"header 'Bearer {A_TOKEN}\\n'", header, f"GET https://ann:{SECRET}@host/", "?p=s3cr%25t%2Fof%20ann"):
        said = one_line(ValueError(text))
        assert not {A_TOKEN, SECRET, "s3cr", header.partition(" ")[2]} & set(said.split()), said
        assert A_TOKEN not in said and "s3cr" not in said and header not in said
    monkeypatch.setenv(PASSWORD, "e")  # it would be in every word
    assert one_line(ValueError("every word")) == "every word"
    assert settle("http://host:5000") == "http://host:5000"
    assert connect("http://ann:pass@host").tracking_uri == "http://host"
