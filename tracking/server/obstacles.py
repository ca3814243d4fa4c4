"""What keeps a client from an MLflow server, told apart and said in one line.

The question is put as MLflow's own client puts it: with its credentials, certificates and proxies.
"""

import os
import re
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tracking.server.access import (
    AUTHORITY,
    CLIENT_CERTIFICATE,
    CREDENTIALS,
    FILES,
    PASSWORD,
    TOKEN,
    USERNAME,
    redacted,
)
from tracking.server.client import one_line

if TYPE_CHECKING:
    from mlflow.utils.rest_utils import MlflowHostCreds
    from requests import Response

_SEARCH: Final = "/api/2.0/mlflow/experiments/search"
_BY_NAME: Final = "/api/2.0/mlflow/experiments/get-by-name"
_INSECURE: Final = "MLFLOW_TRACKING_INSECURE_TLS"
_STRANGER: Final = "something else than an MLflow server answers there"
_OWN: Final = f"; if it wants a certificate of yours, {CLIENT_CERTIFICATE} names a file with that and its key"
_REFUSING: Final = re.compile("ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE)")
_LONGEST_SAID: Final = 120
_UNKNOWN_AUTHORITY: Final = (18, 19, 20, 21)  # OpenSSL's: self-signed, or of an issuer who is not known


def obstacle(uri: str, timeout: float) -> str:
    """What keeps this process from using the MLflow server at `uri`, an address without credentials; "" if nothing."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds

    for name in FILES:
        if (path := os.environ.get(name)) and not os.path.exists(path):
            return f"there is no file {path}, which {name} names"
        if path and (lacks := _lacks(name, path)):
            return f"{path}, which {name} names, does not hold {lacks}"
    try:
        creds = get_default_host_creds(uri)
    except MlflowException:
        return f"{_INSECURE} and {AUTHORITY} are both set; unset one of them"
    except Exception as error:  # of the parser of its credentials
        return one_line(error)
    try:
        reply = _answer(creds, _SEARCH, timeout, method="POST", json={"max_results": 1})
        found = _of_reply(reply, uri, creds)
        if not found and not _fields(reply).get("experiments"):  # some answer {} to everything
            reply = _answer(creds, _BY_NAME, timeout, method="GET", params={"experiment_name": "oplstm asks"})
            found = "" if _fields(reply).get("error_code") else f"{_STRANGER}; check the address and its path"
    except Exception as error:
        return _of_error(error, uri, timeout)
    return found


def _lacks(name: str, path: str) -> str:
    """What a file of certificates should hold and does not; "" if it is as it should be."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if name == CLIENT_CERTIFICATE:
            tls.load_cert_chain(path, password="")  # or it would be asked for on the terminal
        elif os.path.isfile(path):
            tls.load_verify_locations(path)
    except (OSError, ValueError):  # TLS errors are OSErrors
        own = name == CLIENT_CERTIFICATE
        return "a certificate with its key, which has no password" if own else "the certificate of an authority"
    return ""


def _answer(creds: "MlflowHostCreds", endpoint: str, timeout: float, **call: Any) -> "Response":
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import http_request

    call |= {"max_retries": 0, "timeout": timeout, "raise_on_status": False}
    ask: Callable[[], Response] = partial(http_request, creds, endpoint, **call)
    try:
        return ask()
    except MlflowException as error:
        if not any(isinstance(cause, ConnectionResetError) for cause in _causes(error)):
            raise
        return ask()  # the first took a connection kept from an earlier call, whose other end is gone


def _of_reply(reply: "Response", uri: str, creds: "MlflowHostCreds") -> str:
    """What an answer to a search for experiments says."""
    fields, status = _fields(reply), reply.status_code
    if reply.history:  # a redirected POST becomes a GET, and loses its credentials on the way to another host
        there = urlsplit(reply.url)
        return f"it sends on to {there.scheme}://{there.netloc.rpartition('@')[2]}; name that address, or log in there"
    if status == 401:
        return f"it refuses {_brought(creds)} (HTTP 401)"
    if status == 403:
        return f"it forbids this, or what stands before it does (HTTP 403{_said(reply)})"
    if status == 407:
        return _unknown_to_proxy(uri)
    if status == 200 and fields is not _NOTHING:
        return ""
    if status >= 500 or status in (408, 429) or "error_code" in fields:
        return f"it is not well, or what stands before it is not (HTTP {status}{_said(reply)})"
    return f"{_STRANGER} (HTTP {status}{_said(reply)}); check the address and its path"


def _of_error(error: BaseException, uri: str, timeout: float) -> str:
    """What an attempt says that brought no answer."""
    from requests.exceptions import InvalidHeader, ProxyError, Timeout

    parts = urlsplit(uri)
    where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    causes = _causes(error)

    def of(*kinds: type[BaseException]) -> Any:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    if of(InvalidHeader, UnicodeEncodeError):
        return f"{TOKEN} cannot be sent: there is a line break, a space or a letter in it that no token has"
    if of(ProxyError) and any(" 407" in str(cause) for cause in causes):  # it opens no tunnel
        return _unknown_to_proxy(uri)
    if of(ProxyError):
        return f"the HTTP proxy {_proxy(uri)} lets nothing through: {_short(str(causes[-1]))}"
    if untrusted := of(ssl.SSLCertVerificationError):
        unknown = untrusted.verify_code in _UNKNOWN_AUTHORITY
        mend = f"; {AUTHORITY} names a file with the certificate of its authority" if unknown else ""
        return f"its certificate is not accepted: {_short(untrusted.verify_message)}{mend}"
    if broken := of(ssl.SSLError):
        reason = broken.reason or str(broken)
        mend = "; is it http:// there?" if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE") else ""
        mend = _OWN if isinstance(broken, ssl.SSLEOFError) or _REFUSING.search(reason) else mend
        return f"TLS failed: {reason.lower().replace('_', ' ')}{mend}"
    if of(socket.gaierror):
        return f"the host {parts.hostname} is not known; check the address"
    if of(ConnectionRefusedError):
        return f"refused, nothing listens at {where}; check that the server is up, and the address"
    if of(Timeout, TimeoutError):
        return silent(timeout)
    if reset := of(ConnectionError):
        mend = "; is it https:// there?" if parts.scheme == "http" else _OWN
        return f"the connection to {where} was closed without an answer ({_short(str(reset))}){mend}"
    return f"it cannot be reached: {_short(str(causes[-1]))}"


def _unknown_to_proxy(uri: str) -> str:
    return f"the HTTP proxy {_proxy(uri)} wants a user name and password, or others than it was given (HTTP 407)"


def silent(timeout: float) -> str:
    """Of a server that gives no answer."""
    return f"no answer in {timeout:g} s; is the host up, and may it be reached from here?"


def _brought(creds: "MlflowHostCreds") -> str:
    """What MLflow's client brings along, as words for it."""
    if creds.username and creds.password:
        return f"the user name and password of {USERNAME} and {PASSWORD}, or of {CREDENTIALS}"
    if creds.token:
        return f"the token of {TOKEN}"
    return f"calls without credentials: set {TOKEN}, or {USERNAME} and {PASSWORD}"


def _proxy(uri: str) -> str:
    from requests.utils import get_environ_proxies, select_proxy

    return (select_proxy(uri, get_environ_proxies(uri)) or "").rpartition("@")[2].rpartition("://")[2].rstrip("/")


_NOTHING: Final[dict[str, Any]] = {}


def _fields(reply: "Response") -> dict[str, Any]:
    """An answer that is a JSON object; else an object of its own that says nothing."""
    try:
        found = reply.json()
    except ValueError:
        return _NOTHING
    return found if isinstance(found, dict) else _NOTHING


def _said(reply: "Response") -> str:
    """What a person wrote into a refusal: MLflow's message, or a line of plain text; a page says nothing here."""
    text = str(_fields(reply).get("message") or "")
    if not text and reply.headers.get("Content-Type", "").startswith("text/plain"):
        text = reply.text
    return f": {_short(text)}" if text.strip() else ""


def _short(text: str) -> str:
    line = redacted(" ".join(text.split()))
    return line if len(line) <= _LONGEST_SAID else line[: _LONGEST_SAID - 3] + "..."


def _causes(error: BaseException) -> list[BaseException]:
    """An error and all that it came of: MLflow's client wraps what requests wrapped, and urllib3 before that."""
    found = [error]
    for one in found:
        parts = (one.__cause__, one.__context__, *one.args)
        found += [part for part in parts if isinstance(part, BaseException) and part not in found]
    return found
