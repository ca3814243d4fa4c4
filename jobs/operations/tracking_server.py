"""Which MLflow server a verb speaks to."""

import contextlib
import os
from collections.abc import Iterator

from jobs.store.home import Home, check_plain
from tracking.server.access import without_credentials
from tracking.server.embedded import Server, running_server
from tracking.server.ending import end_unused_server
from tracking.server.reachability import check_reachable


@contextlib.contextmanager
def tracking_server(home: Home, uri: str | None, *, wait: bool = False) -> Iterator[str]:
    """The URI to track to: the given server, checked, or the embedded one, which runs at least while in here.

    It holds no credentials: MLflow's client has them from the environment.
    An embedded server that a killed process left behind is taken over, or ended where another server was chosen.

    Args:
        home: Whose embedded server.
        uri: Of another server, if one was chosen.
        wait: Whether to go on only when the embedded server answers.

    Raises:
        RequestError: The given server does not answer within 15 seconds.
    """
    if uri is not None:
        end_unused_server(home.path)
        check_reachable(uri)
        yield without_credentials(uri)  # from here on they are the environment's
        return
    with embedded_server(home, wait=wait) as server:
        yield server.uri


@contextlib.contextmanager
def embedded_server(home: Home, *, port: int | None = None, wait: bool = True) -> Iterator[Server]:
    """The server of a home, which runs at least while in here; for the arguments see ``running_server``.

    Raises:
        RequestError: ``port`` is taken, or its files are links, which lead who knows where.
        WorkError: It does not come up.
    """
    folder = home.path / "mlflow"
    check_plain(folder, folder=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        check_plain(path, folder=path.is_dir())
    with running_server(home.path, port=port, wait=wait) as server:
        yield server


def chosen_uri(given: str | None) -> str | None:
    """The tracking URI that was asked for: by option, else by ``MLFLOW_TRACKING_URI``, else None (embedded)."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or None
