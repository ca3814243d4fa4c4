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
plugin = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="MODULE",
    help="Code of your own that brings a learner, benchmark or space: a module, or a path of a .py file.",
)
trust = click.option("--trust", is_flag=True, help="Take code of your own as it is now, changed or moved.")


def name_option(what: str, default: str) -> Callable[[Any], Any]:
    """``--name`` of what a verb makes: one rule for all."""
    rule = f"Of {what}; by default {default}, with the next free number behind it (-2, -3, ...) where that is taken."
    return click.option("--name", help=rule)


def printable(text: str) -> str:
    """Text that a terminal shows and does not obey: all but letters, signs, spaces, tabs and line breaks is escaped.

    Whatever comes from a file, a server or an exception goes through here on its way to the terminal.
    """
    return "".join(
        letter if letter.isprintable() or letter in "\t\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def say(*lines: str, err: bool = False) -> None:
    """Lines for a person, on stdout or stderr."""
    click.echo(printable("\n".join(lines)), err=err)


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
