"""How a server is reached: credentials, certificates, proxies. The environment holds them; nothing of it is stored."""

import base64
import configparser
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote, urlsplit

USERNAME: Final = "MLFLOW_TRACKING_USERNAME"
PASSWORD: Final = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105 (variables' names, as the next)
TOKEN: Final = "MLFLOW_TRACKING_TOKEN"  # noqa: S105
AUTHORITY: Final = "MLFLOW_TRACKING_SERVER_CERT_PATH"
CREDENTIALS: Final = "~/.mlflow/credentials"
"""MLflow's own file for a user name and a password."""

CLIENT_CERTIFICATE: Final = "MLFLOW_TRACKING_CLIENT_CERT_PATH"
_BUNDLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
FILES: Final = (AUTHORITY, CLIENT_CERTIFICATE, *_BUNDLES)
"""Variables that name files."""
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SHORTEST_SECRET: Final = 4  # what is shorter stands in every other word


def settle(uri: str) -> str:
    """The address without the user name and password that it may hold; MLflow's client finds them in the environment.

    There every call of this process uses them, and they stand in no error text.
    """
    parts = urlsplit(uri)
    if parts.username:
        os.environ[USERNAME] = unquote(parts.username)
    if parts.username and parts.password:
        os.environ[PASSWORD] = unquote(parts.password)
    return without_credentials(uri)


def without_credentials(uri: str) -> str:
    """The address as it may be shown or stored: without the user name and password that it may hold."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else uri.rpartition("@")[2]


def redacted(text: str) -> str:
    """A text that somebody else's code wrote, without the credentials that it may hold."""
    text = re.sub(r"://\S*@", "://", text)
    for secret in sorted(set(_secrets()), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


@dataclass(frozen=True, slots=True)
class Access:
    """A server, and how it is reached from here: for a process that does not inherit this one's environment.

    Attributes:
        uri: Of the server, without credentials.
        variables: Of this process's environment.
    """

    uri: str
    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    def from_here(cls, uri: str) -> "Access":
        """As this process reaches `uri`."""
        uri, variables = settle(uri), dict[str, str]()
        for name, value in _of_access().items():
            variables[name] = os.path.abspath(value) if value and name in FILES else value
        return cls(uri, variables)

    def __call__(self) -> str:
        """The address, once this process reaches it as that one did, and not as its own environment said."""
        for name in _of_access():
            del os.environ[name]
        os.environ.update(self.variables)
        return self.uri


def _of_access() -> dict[str, str]:
    """The variables of this process that say how a server is reached."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in FILES or name.lower() in _PROXIES or (name.startswith("MLFLOW_") and name != "MLFLOW_TRACKING_URI")
    }


def _secrets() -> Iterator[str]:
    """What must stand in no text: as it is, as it stands in an address, and as HTTP sends it."""
    passwords = [(os.environ.get(USERNAME, ""), os.environ.get(PASSWORD, "")), ("", os.environ.get(TOKEN, ""))]
    if "mlflow" in sys.modules:  # else nobody has read the file yet
        from mlflow.utils.credentials import read_mlflow_creds

        try:
            found = read_mlflow_creds()
            passwords.append((found.username or "", found.password or ""))
        except (configparser.Error, OSError, ValueError):
            pass
    for name in _PROXIES:
        proxy = urlsplit(os.environ.get(name) or os.environ.get(name.upper()) or "")
        passwords.append((unquote(proxy.username or ""), unquote(proxy.password or "")))
    for user, password in passwords:
        if len(password) >= _SHORTEST_SECRET:
            yield from (password, quote(password, safe=""), password.strip(), repr(password)[1:-1])
            yield base64.standard_b64encode(f"{user}:{password}".encode()).decode()
