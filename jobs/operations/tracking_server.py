"""Which MLflow server a verb speaks to."""

import contextlib
import os
from collections.abc import Iterator

from jobs.store.home import Home
from tracking.server.embedded import running_server
from tracking.server.reachability import check_reachable


@contextlib.contextmanager
def tracking_server(home: Home, uri: str | None, *, wait: bool = False) -> Iterator[str]:
    """The URI to track to: the given server, checked, or the embedded one, which runs at least while in here.

    Args:
        home: Whose embedded server.
        uri: Of another server, if one was chosen.
        wait: Whether to go on only when the embedded server answers.

    Raises:
        RequestError: The given server does not answer within 15 seconds.
    """
    if uri is not None:
        check_reachable(uri)
        yield uri
        return
    with running_server(home.path, wait=wait) as server:
        yield server.uri


def chosen_uri(given: str | None) -> str | None:
    """The tracking URI that was asked for: by option, else by ``MLFLOW_TRACKING_URI``, else None (embedded)."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or None
