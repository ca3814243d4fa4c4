"""Whether an MLflow server answers at an address."""

import os
import shlex
import threading
import time
from typing import Final
from urllib.parse import urlsplit

from oplstm.errors import RequestError
from tracking.server.access import without_credentials
from tracking.server.client import bypass_proxy, connect
from tracking.server.obstacles import obstacle, silent

_LOOK_SECONDS: Final = 0.02
_EXAMPLE: Final = "localhost:5000"
_HTTP: Final = ("http", "https")


def answers(uri: str, *, timeout: float) -> bool:
    """Whether the server at `uri`, which asks for no password, says that it is well."""
    import requests

    bypass_proxy(uri)
    try:
        reply = requests.get(f"{uri.rstrip('/')}/health", timeout=timeout)
    except requests.RequestException:
        return False
    return reply.status_code == 200 and reply.text.strip() == "OK"


def check_reachable(uri: str, timeout: float = 15) -> None:
    """Return if an MLflow server answers at `uri`, and lets this process in.

    Afterwards MLflow's client finds credentials that `uri` holds in the environment, as after ``connect``.

    Raises:
        RequestError: None does within `timeout` seconds; the line says what was found instead.
    """
    if not _is_usable(uri):
        raise RequestError(_not_usable(uri))
    address = connect(uri).tracking_uri
    found: list[str] = []
    # a name lookup knows no timeout
    threading.Thread(target=lambda: found.append(obstacle(address, timeout)), daemon=True).start()
    deadline = time.monotonic() + timeout
    while not found and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    reason = found[0] if found else silent(timeout)
    if reason:
        raise RequestError(f"tracking server {address}: {reason}")


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
