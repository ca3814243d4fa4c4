"""How this project talks to an MLflow server: the client, its patience, and which refusals are final."""

import configparser
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tracking.server.access import CREDENTIALS, PASSWORD, USERNAME, redacted, settle

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# A call must fail in seconds (MLflow's own patience is about 4 minutes), and stdout belongs to the command line.
_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
SETTLED: Final = (*_DEFAULTS, USERNAME, PASSWORD, "NO_PROXY", "no_proxy")
"""Variables of the environment that ``connect`` may set."""

# Everything else is taken to be temporary: a proxy's 404, 401 and 403 (mended by the right password), 408, 429, 5xx.
# BAD_REQUEST is not here: MLflow's client makes it out of any 400, such as one of a proxy.
_FINAL: Final = frozenset({"INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS"})
_MAX_LINE: Final = 300
_PAGE: Final = 1000


def connect(uri: str) -> "MlflowClient":
    """A client for `uri` that gives up on a dead server in seconds; environment variables the user set win.

    A user name and password in `uri` go into MLflow's environment variables for them (``settle``).
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    bypass_proxy(uri)
    uri = settle(uri)
    from mlflow import MlflowClient  # takes seconds to import

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def all_runs(
    client: "MlflowClient",
    experiment_ids: Sequence[str],
    wanted: str = "",
    *,
    order_by: Sequence[str] = (),
    deleted: bool = False,
) -> "Iterator[Run]":
    """The runs of some experiments, however many.

    Args:
        client: Of the server.
        experiment_ids: Theirs.
        wanted: MLflow's filter; nothing that a person wrote stands in it unchecked.
        order_by: MLflow's order.
        deleted: Whether to look among the deleted ones instead.
    """
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiment_ids),
            wanted,
            run_view_type=view,
            max_results=_PAGE,
            order_by=list(order_by),
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def bypass_proxy(uri: str) -> None:
    """Keep calls to this machine from an HTTP proxy that the environment names."""
    host = urlsplit(uri).hostname
    known = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    if host in ("127.0.0.1", "localhost") and host not in known.split(","):
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{known},{host}".lstrip(",")


def error_code(error: Exception) -> str:
    """MLflow's name for what went wrong; "" when the error is not one that MLflow's server named."""
    return str(getattr(error, "error_code", ""))


def is_final(error: Exception) -> bool:
    """Whether the same request will be refused for ever, so that trying again is of no use."""
    return error_code(error) in _FINAL


def is_missing(error: Exception) -> bool:
    """Whether MLflow itself said that the run (experiment, model) does not exist."""
    return error_code(error) == "RESOURCE_DOES_NOT_EXIST"


def one_line(error: BaseException) -> str:
    """The error as one line of at most 300 characters, without credentials that it may quote."""
    if isinstance(error, configparser.Error):  # it quotes the line, which may be that of the password
        return f"MLflow cannot read {CREDENTIALS}; a % in a password is written %% there"
    text = redacted(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 3] + "..."
