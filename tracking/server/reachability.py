"""Whether an MLflow server answers at an address."""

import os
import shlex
import threading
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from oplstm.errors import RequestError
from tracking.server.client import PASSWORD, USERNAME, bypass_proxy, connect, error_code, one_line, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from requests import Response

_LOOK_SECONDS: Final = 0.02
_EXAMPLE: Final = "localhost:5000"
_HTTP: Final = ("http", "https")


def answers(uri: str, *, timeout: float) -> bool:
    """Whether the server at `uri`, which asks for no password, says that it is well."""
    import requests

    bypass_proxy(uri)
    try:
        return _is_well(requests.get(f"{uri.rstrip('/')}/health", timeout=timeout))
    except requests.RequestException:
        return False


def check_reachable(uri: str, timeout: float = 15) -> None:
    """Return if an MLflow server answers at `uri`.

    Raises:
        RequestError: None does within `timeout` seconds; the line says what was found instead.
    """
    if not _is_usable(uri):
        raise RequestError(_not_usable(uri))
    client = connect(uri)
    found: list[str] = []
    # a name lookup knows no timeout
    threading.Thread(target=lambda: found.append(_fault(client, timeout)), daemon=True).start()
    deadline = time.monotonic() + timeout
    while not found and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    reason = found[0] if found else f"no answer in {timeout:g} s"
    if reason:
        raise RequestError(f"tracking server {without_credentials(uri)}: {reason}")


def _fault(client: "MlflowClient", timeout: float) -> str:
    """What keeps the client from its server; "" when nothing does."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    refused = f"it wants a user name and password, other than those in {USERNAME} and {PASSWORD}, or none are there"
    uri = client.tracking_uri
    try:
        reply = http_request(get_default_host_creds(uri), "/health", "GET", timeout=timeout, raise_on_status=False)
    except Exception:
        return "no MLflow server answers there; check the address, and that the server is up"
    if reply.status_code == 401:
        return refused
    if not _is_well(reply):
        return f"no MLflow server answers there, but something else (HTTP {reply.status_code}); check the address"
    try:
        client.search_experiments(max_results=1)
    except Exception as error:
        if error_code(error) == "UNAUTHENTICATED":
            return refused
        return f"it does not answer as an MLflow server does ({one_line(error)})"
    return ""


def _is_well(reply: "Response") -> bool:
    return reply.status_code == 200 and reply.text.strip() == "OK"


def _is_usable(uri: str) -> bool:
    if " " in uri or not uri.isprintable():
        return False
    try:
        parts = urlsplit(uri)
        return parts.scheme in _HTTP and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _not_usable(uri: str) -> str:
    shown = without_credentials(uri)
    scheme, colon, rest = uri.partition(":")
    is_address = scheme in _HTTP or not colon or rest[:1].isdigit()
    if is_address and not _is_folder(uri):
        example = _EXAMPLE if scheme in _HTTP or not shown else shown
        return f"tracking server {shown!r} is not an address; it should look like http://{example}"
    return (
        f"tracking server {shown!r}: only http:// and https:// servers are used; leave it out to use the local server "
        f"that oplstm starts, or serve this store with: mlflow server --backend-store-uri {shlex.quote(shown)}"
    )


def _is_folder(uri: str) -> bool:
    return uri.startswith((".", "/", "~")) or uri == "mlruns" or os.path.isdir(uri)
