"""``oplstm ui``: the MLflow UI, opened where it shows something."""

import contextlib
import time
from collections.abc import Callable

from jobs.operations.tracking_server import embedded_server, tracking_server
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.states import SweepKind
from oplstm.errors import RequestError
from tracking.results.views import share_sweep_view
from tracking.server.client import connect


def landing_url(home: Home, uri: str) -> str:
    """The newest sweep's table of trials, or the server's front page; a damaged sweep is passed over."""
    client = connect(uri)
    for folder in reversed(home.all_sweeps()):
        try:
            header = Header.read(folder)
        except RequestError:
            continue
        experiment = client.get_experiment_by_name(header.experiment)
        if header.kind is SweepKind.SWEEP and experiment is not None:
            return share_sweep_view(
                client,
                uri,
                experiment.experiment_id,
                sweep_key=header.name,
                metric="val/best",
                ascending=not header.measure.higher_is_better,
            )
    return uri


def serve(home: Home, uri: str | None, *, port: int | None, announce: Callable[[str], None]) -> None:
    """Announce the address; keep the embedded server running until Ctrl-C or SIGTERM, whatever sweeps do.

    Args:
        home: Whose embedded server.
        uri: Of another server, whose address is announced and nothing more.
        port: Of a new embedded server.
        announce: Takes the address.
    """
    if uri is not None:
        with tracking_server(home, uri) as checked:
            announce(landing_url(home, checked))
        return
    with contextlib.suppress(KeyboardInterrupt), embedded_server(home, port=port) as server:
        announce(landing_url(home, server.uri))
        while True:
            time.sleep(1.0)
            if not server.is_ready():
                server.revive()
