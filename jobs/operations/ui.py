"""``oplstm ui``: the MLflow UI, opened where it shows something."""

import json
import signal
import time
import webbrowser

import click

from jobs.jobfile.schema import Job
from jobs.operations.launch import tracking_server
from jobs.store.home import Home
from jobs.store.state import Header
from tracking.results.views import share_sweep_view
from tracking.server.client import connect
from tracking.server.embedded import ensure_server


def landing_url(home: Home, uri: str) -> str:
    """The newest sweep's table of trials, or the server's front page."""
    client = connect(uri)
    for folder in reversed(home.all_sweeps()):
        header = Header.read(folder)
        experiment = client.get_experiment_by_name(header.experiment)
        if header.kind == "sweep" and experiment is not None:
            measure = Job.model_validate(header.job).measure
            return share_sweep_view(
                client,
                uri,
                experiment.experiment_id,
                sweep_key=header.name,
                metric="val/best",
                ascending=not measure.higher_is_better,
            )
    return uri


def serve(home: Home, uri: str | None, *, port: int | None, browser: bool, as_json: bool) -> None:
    """Print and open the address; keep the embedded server running until Ctrl-C or SIGTERM, whatever sweeps do."""
    if uri is not None:
        with tracking_server(home, uri) as checked:
            _announce(landing_url(home, checked), browser=browser, as_json=as_json)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the server would outlive us
    server = ensure_server(home.path, port=port)
    try:
        _announce(landing_url(home, server.uri), browser=browser, as_json=as_json)
        while True:
            time.sleep(1.0)
            if not server.is_ready():
                server = ensure_server(home.path, port=int(server.uri.rpartition(":")[2]))
    except KeyboardInterrupt:
        click.echo("", err=True)
    finally:
        server.stop()


def _announce(url: str, *, browser: bool, as_json: bool) -> None:
    click.echo(json.dumps({"url": url}) if as_json else f"MLflow UI: {url}\nCtrl-C ends it")
    if browser:
        webbrowser.open(url)
