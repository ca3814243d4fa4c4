"""``oplstm ui``: the MLflow UI, opened where it shows something."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from jobs.operations.family import headers
from jobs.operations.tracking_server import embedded_server, tracking_server
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.states import SweepKind
from oplstm.errors import RequestError
from tracking.outbox.links import run_address
from tracking.outbox.outbox import idle_outbox
from tracking.results.views import share_sweep_view, sweep_url
from tracking.server.access import without_credentials
from tracking.server.client import connect
from tracking.server.experiments import prepare_experiment

PAGE_SECONDS: Final = 5.0


def landing_url(home: Home, uri: str, folder: SweepFolder | None = None) -> str:
    """Where a server shows a sweep: its table of trials, or the page of a training or final run.

    Args:
        home: Of the sweeps.
        uri: Of the server.
        folder: Of the sweep; None for the newest that is there and not archived, else the server's front page.

    Raises:
        RequestError: The server does not know the sweep yet.
    """
    if folder is not None:
        header = Header.read(folder)
        url = _url_of(folder, header, uri)
        if url is None:
            raise RequestError(f"{header.name} is not in MLflow at {uri} yet: oplstm doctor {header.name} ships it")
        return url
    for newest, header in reversed(list(headers(home))):
        if header.kind is SweepKind.SWEEP and not header.archived and (url := _url_of(newest, header, uri)) is not None:
            return url
    return uri


def _url_of(folder: SweepFolder, header: Header, uri: str) -> str | None:
    client = connect(uri)
    experiment = client.get_experiment_by_name(header.experiment)
    if experiment is None:
        return None
    if header.kind is SweepKind.SWEEP:
        return share_sweep_view(
            client,
            uri,
            experiment.experiment_id,
            sweep_key=header.name,
            metric="val/best",
            ascending=not header.measure.higher_is_better,
        )
    run_id = idle_outbox(folder.journal).run_id(header.id)
    if run_id is None:
        return None
    return f"{without_credentials(uri).rstrip('/')}/{run_address(experiment.experiment_id, run_id)}"


def page_of(folder: SweepFolder, uri: str | None) -> str | None:
    """Where the MLflow UI shows the trials of a sweep that has begun; None of the embedded server, which may go.

    Args:
        folder: Of the sweep.
        uri: Of its server, if one was named.

    Returns:
        The server's front page where the server does not answer within seconds: nothing waits for it.
    """
    from jobs.operations.trust import server_of  # imports torch

    header = Header.read(folder)
    if (server := server_of(header, uri)) is None:
        return None
    found = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # of the server, or of the way to it
            experiment_id = prepare_experiment(connect(server), header.experiment)
            ascending = not header.measure.higher_is_better
            found.append(
                sweep_url(server, experiment_id, sweep_key=header.name, metric="val/best", ascending=ascending)
            )

    asking = threading.Thread(target=ask, name="page", daemon=True)
    asking.start()
    asking.join(PAGE_SECONDS)
    return found[0] if found else without_credentials(server)


def serve(
    home: Home,
    uri: str | None,
    *,
    port: int | None,
    announce: Callable[[str], None],
    folder: SweepFolder | None = None,
) -> None:
    """Announce the address; keep the embedded server running until Ctrl-C or SIGTERM, whatever sweeps do.

    Args:
        home: Whose embedded server.
        uri: Of another server, whose address is announced and nothing more.
        port: Of a new embedded server.
        announce: Takes the address.
        folder: Of the sweep that is to be shown; None for the newest.

    Raises:
        RequestError: The server does not know that sweep yet.
    """
    if uri is not None:
        with tracking_server(home, uri) as checked:
            announce(landing_url(home, checked, folder))
        return
    with contextlib.suppress(KeyboardInterrupt), embedded_server(home, port=port) as server:
        announce(landing_url(home, server.uri, folder))
        while True:
            time.sleep(1.0)
            if not server.is_ready():
                server.revive()
