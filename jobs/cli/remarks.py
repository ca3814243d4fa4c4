"""The verbs by which a person says something of a sweep or a trial: ``note``, ``tag``."""

import re
from typing import Final

import click

from jobs.cli.output import as_json, quiet_libraries, report, say, tracking_uri
from oplstm.errors import RequestError

_TRIAL: Final = re.compile(r"trial-[0-9]+(-seed-[0-9]+)?")


@click.command()
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[TRIAL] TEXT")
@click.option("--remove", is_flag=True, help="Take the note away.")
@tracking_uri
@as_json
def note(name: str, words: tuple[str, ...], remove: bool, tracking_uri: str | None, json_: bool) -> None:
    """Put TEXT into the description of the run of NAME, or of its TRIAL, in MLflow, in place of the note before.

    What else stands there stays, what was written in the MLflow UI too. status NAME shows it.
    """
    from jobs.operations import remarks
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    trial, rest = _trial(words)
    if len(rest) != (0 if remove else 1) or not all(rest):
        raise RequestError(f'give the text in quotes, as in oplstm note {name} "too small a budget", or --remove')
    quiet_libraries()
    text = "" if remove else rest[0]
    remarks.note(Home(), name, trial, text=text, uri=chosen_uri(tracking_uri))
    done = f"{trial or name}: {'the note is gone' if remove else 'noted'}"
    report({"name": name, "trial": trial, "note": text}, lambda: say(done), as_json=json_)


@click.command()
@click.argument("name")
@click.argument("words", nargs=-1, metavar="[TRIAL] KEY=VALUE...")
@click.option("--remove", multiple=True, metavar="KEY", help="Take a tag away.")
@tracking_uri
@as_json
def tag(name: str, words: tuple[str, ...], remove: tuple[str, ...], tracking_uri: str | None, json_: bool) -> None:
    """Set tags of the run of NAME, or of its TRIAL, in MLflow, by which runs can be found there."""
    from jobs.operations import remarks
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    trial, rest = _trial(words)
    pairs = [word.partition("=") for word in rest]
    if wrong := next((word for word, (key, mark, _) in zip(rest, pairs, strict=True) if not (key and mark)), None):
        raise RequestError(f"tag must be KEY=VALUE, got {wrong!r}")
    tags = {key: value for key, _, value in pairs}
    if not tags and not remove:
        raise RequestError(f"give tags, as in oplstm tag {name} checked=yes, or --remove checked")
    quiet_libraries()
    remarks.tag(Home(), name, trial, tags=tags, away=remove, uri=chosen_uri(tracking_uri))
    data = {"name": name, "trial": trial, "tags": tags, "removed": list(remove)}
    report(data, lambda: say(f"{trial or name}: tagged"), as_json=json_)


def _trial(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The trial that is named first, if one is, and the rest."""
    is_named = len(words) > 0 and _TRIAL.fullmatch(words[0]) is not None
    return (words[0], words[1:]) if is_named else (None, words)
