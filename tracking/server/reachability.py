"""Whether an MLflow server answers at an address."""

import threading
import time
from typing import Final
from urllib.parse import urlsplit

from oplstm.errors import RequestError
from tracking.server.client import bypass_proxy, connect, one_line

_LOOK_SECONDS: Final = 0.02


def answers(uri: str, *, timeout: float) -> bool:
    """Whether the server at `uri` says that it is well."""
    import requests

    bypass_proxy(uri)
    try:
        reply = requests.get(f"{uri.rstrip('/')}/health", timeout=timeout)
    except requests.RequestException:
        return False
    return reply.status_code == 200 and reply.text.strip() == "OK"


def check_reachable(uri: str, timeout: float = 15) -> None:
    """Return if an MLflow server answers at `uri`.

    Raises:
        RequestError: None does within `timeout` seconds; the line says what was found instead.
    """
    try:
        parts = urlsplit(uri)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise RequestError(_not_usable(uri))
    client = connect(uri)
    found: list[str] = []

    def look() -> None:
        if not answers(uri, timeout=timeout):
            found.append("no MLflow server answers there; check the address, and that the server is up")
            return
        try:
            client.search_experiments(max_results=1)
        except Exception as error:
            found.append(f"it does not answer as an MLflow server does ({one_line(error)})")
            return
        found.append("")

    threading.Thread(target=look, daemon=True).start()  # a name lookup knows no timeout
    deadline = time.monotonic() + timeout
    while not found and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    reason = found[0] if found else f"no answer in {timeout:g} s"
    if reason:
        raise RequestError(f"tracking server {uri}: {reason}")


def _not_usable(uri: str) -> str:
    scheme = uri.partition(":")[0] if ":" in uri else ""
    if scheme in ("http", "https") or not scheme or uri.partition(":")[2][:1].isdigit():
        example = uri if not scheme or scheme not in ("http", "https") else "localhost:5000"
        return f"tracking server {uri!r} is not an address; it should look like http://{example or 'localhost:5000'}"
    return (
        f"tracking server {uri!r}: only http:// and https:// servers are used; leave it out to use the local server "
        f"that oplstm starts, or serve this store with: mlflow server --backend-store-uri {uri}"
    )
