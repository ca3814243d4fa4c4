"""What all verbs share: options, and how they report."""

import json
import logging
import warnings
from collections.abc import Callable
from typing import Any

import click

as_json = click.option("--json", "json_", is_flag=True, help="One JSON document on stdout.")
settings = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the job.")
tracking_uri = click.option("--tracking-uri", metavar="URI", help="MLflow server; embedded by default.")
ray_address = click.option("--ray-address", metavar="HOST:PORT", help="Ray cluster; a local one by default.")


def report(data: Any, show: Callable[[], None], *, as_json: bool) -> None:
    """Print the one JSON document of a verb, or let it ``show`` what a person wants to see."""
    if as_json:
        click.echo(json.dumps(data, indent=2, default=str))
    else:
        show()


def quiet_libraries() -> None:
    """Keep the libraries' own chatter out of the output."""
    import optuna

    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger().setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
