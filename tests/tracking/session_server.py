"""One real MLflow server for a whole test session, whatever number of processes it has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tracking.server.embedded import Server, ensure_server


@contextmanager
def session_server(folders: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that the processes of this session share; the last to leave ends it. It must not be hurt."""
    own = folders.getbasetemp()
    server = ensure_server((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "of-all")
    yield server
    server.stop()
