"""The verbs that keep a home in order: ``rename``, ``archive``, ``delete``, ``gc``."""

import sys
from typing import TYPE_CHECKING

import click

from jobs.cli.output import as_json, printable, quiet_libraries, report, say, tracking_uri
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.operations.garbage import Garbage

yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("name")
@click.argument("new")
@tracking_uri
@as_json
def rename(name: str, new: str, tracking_uri: str | None, json_: bool) -> None:
    """Give sweep, training or final run NAME the name NEW, here and in MLflow."""
    from jobs.operations.rename import rename as give_name
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    folder = give_name(Home(), name, new, uri=chosen_uri(tracking_uri))
    data = {"name": new, "before": name, "folder": str(folder.path)}
    report(data, lambda: say(f"{name} is now {new}"), as_json=json_)


@click.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Take it back.")
@tracking_uri
@as_json
def archive(name: str, undo: bool, tracking_uri: str | None, json_: bool) -> None:
    """Put NAME away: status does not list it, and nothing goes on with it, until --undo.

    Nothing of it is lost: tables, reports, registered models and other promotions use it as before. Its runs in MLflow
    get the tag oplstm.archived.
    """
    from jobs.operations.archive import archive as put_away
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    header = put_away(Home(), name, undo=undo, uri=chosen_uri(tracking_uri))
    text = f"{name} is archived; oplstm archive {name} --undo takes it back" if header.archived else f"{name} is back"
    report({"name": name, "archived": header.archived}, lambda: say(text), as_json=json_)


@click.command()
@click.argument("name")
@yes
@tracking_uri
@as_json
def delete(name: str, yes: bool, tracking_uri: str | None, json_: bool) -> None:
    """Delete NAME: its folder for good, and its runs in MLflow, whose own bin keeps them.

    A sweep that has a final run or registered models is not deleted before these are.
    """
    from jobs.operations.archive import delete as remove
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()

    def sure(question: str) -> bool:
        return yes or _asked(question, f"oplstm delete {name} --yes", as_json=json_)

    done = remove(Home(), name, sure=sure, uri=chosen_uri(tracking_uri))
    if done is None:
        say(f"{name} was not deleted", err=True)
        sys.exit(1)
    text = f"deleted {name}: {size(done.bytes)}, and {done.runs} runs in MLflow, whose bin keeps them"
    report({"name": name, "bytes": done.bytes, "runs": done.runs}, lambda: say(text), as_json=json_)


@click.command()
@click.argument("name", required=False)
@yes
@as_json
def gc(name: str | None, yes: bool, json_: bool) -> None:
    """Say what of the home, or of sweep NAME, is needed by nothing any more, and free it with --yes.

    On a terminal it asks. Whatever resume, rerun-failed, extend, promote, evaluate and doctor read is kept.
    """
    from jobs.operations.garbage import Garbage
    from jobs.store.home import Home

    found = Garbage.of(Home(), name)
    if not json_:
        say(*_lines(found))
    if found.things and not yes and not json_ and sys.stdin.isatty():
        yes = click.confirm("free it?")
    freed = found.free() if yes else []
    left = f"freed {size(sum(thing.bytes for thing in freed))}" if yes else "nothing was freed; --yes frees it"
    data = {**found.to_json(), "freed": [str(thing.path) for thing in freed]}
    report(data, lambda: say(left) if found.things else None, as_json=json_)
    if yes and len(freed) < len(found.things):
        sys.exit(1)


def _lines(found: "Garbage") -> list[str]:
    lines = [f"{size(of_kind):>10}  {count} {kind}" for kind, (count, of_kind) in found.kinds().items()]
    lines += [f"left alone: {line}" for line in found.left]
    return lines or ["nothing is there that is needed by nothing"]


def _asked(question: str, otherwise: str, *, as_json: bool) -> bool:
    """What a person answers; where none can be asked nothing is done.

    Raises:
        RequestError: There is no terminal.
    """
    if as_json or not sys.stdin.isatty():
        raise RequestError(f"nobody can be asked here: {otherwise}")
    return click.confirm(printable(question))


def size(count: int) -> str:
    """Bytes for a person."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
