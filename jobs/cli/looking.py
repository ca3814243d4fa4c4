"""The verbs that look: ``status``, ``table``, ``ui``, ``doctor``."""

import dataclasses
import json
import sys
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.output import as_json, quiet_libraries, report, say, tracking_uri
from oplstm.errors import RequestError, WorkError

if TYPE_CHECKING:
    from jobs.store.home import SweepFolder

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("name", required=False)
@click.option("--all", "archived", is_flag=True, help="Archived sweeps too.")
@click.option("--watch", is_flag=True, help="Show NAME until it has ended or stopped, and exit as its own verb does.")
@as_json
def status(name: str | None, archived: bool, watch: bool, json_: bool) -> None:
    """Show all sweeps, or every trial of NAME, and the test result of a training or final run."""
    from jobs.cli.display.results import result_lines
    from jobs.cli.display.tables import show_statuses, show_trials
    from jobs.operations.remarks import remarks
    from jobs.operations.status import Damaged, Status, all_status, result_of, sweep_status
    from jobs.store.home import Home

    home = Home()
    if watch:
        if name is None:
            raise RequestError("--watch needs the NAME of a sweep")
        _watch(home.sweep(name), as_json=json_)
        return
    if name is None:
        found = all_status(home, archived=archived)
        rows = [one.to_json(trials=False) if isinstance(one, Status) else one.to_json() for one in found]
        report(rows, lambda: show_statuses(found), as_json=json_)
        return
    folder = home.sweep(name)
    one, result = sweep_status(folder), result_of(folder)
    said = remarks(folder)

    def show() -> None:
        show_statuses([one])
        show_trials([*one.trials, *one.replicates])
        if isinstance(result, Damaged):
            say(f"{one.name}: no test result: {result.problem}")
        elif result is not None:
            say(*result_lines(one.name, result))
        if said:
            say(*(line for remark in said for line in remark.lines()))

    data = one.to_json(trials=True) | ({} if result is None else {"result": result.to_json()})
    data |= {"remarks": list(map(dataclasses.asdict, said))} if said else {}
    report(data, show, as_json=json_)


def _watch(folder: "SweepFolder", *, as_json: bool) -> None:
    """Show a sweep until it runs no more; exits with 1 unless it is complete."""
    from jobs.cli.display.progress import stderr
    from jobs.cli.display.results import ending_lines
    from jobs.cli.display.tables import stdout
    from jobs.cli.display.watching import follow
    from jobs.cli.running import is_done
    from jobs.operations.status import Damaged, result_of
    from jobs.operations.watching import watch

    one = follow(watch(folder), stderr if as_json else stdout, time.monotonic)
    result = result_of(folder)
    if isinstance(result, Damaged):
        raise WorkError(f"{one.name} has no test result: {result.problem}")
    data = one.to_json(trials=True) | ({} if result is None else {"result": result.to_json()})
    report(data, lambda: say(*ending_lines(one, result)[1:]), as_json=as_json)
    if not is_done(one, result):
        sys.exit(1)


@click.command()
@click.argument("number", type=click.IntRange(1, 4))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv", "latex"]),
    default="text",
    show_default=True,
    help="Of what is printed; --json for JSON.",
)
@click.option("--save", type=FOLDER, help="Write a small JSON file of each final run of the table there.")
@click.option("--from", "records", type=FOLDER, help="Make the table of such files, without a server.")
@click.option("--also", metavar="NAME", multiple=True, help="A training of another configuration, below the table.")
@tracking_uri
@as_json
def table(
    number: int,
    form: str,
    save: Path | None,
    records: Path | None,
    also: tuple[str, ...],
    tracking_uri: str | None,
    json_: bool,
) -> None:
    """Print a table of the paper, ours beside its cells, from tracked final runs.

    A final run stands in a cell only where everything that defines the cell agrees; others are listed below the table
    with what differs. The paper's own configuration, trained by its published job, has a column of its own.
    """
    if records is not None and also:
        raise click.UsageError("--also names a training of a server; --from has the files that are there")
    from jobs.cli.display.paper_table import paper_table_text
    from jobs.operations.homes_server import HomesServer
    from jobs.operations.tracking_server import chosen_uri, tracking_server
    from jobs.store.home import Home
    from tracking.results.run_records import read_records, write_records
    from tracking.results.table_formats import FORMATS
    from tracking.results.tables import runs_of, table_of
    from tracking.server.access import without_credentials
    from tracking.server.client import connect

    if records is not None:
        runs = read_records(records)
    else:
        home = Home()
        server = HomesServer.of(home, chosen_uri(tracking_uri))
        with tracking_server(home, server.uri, wait=True) as uri:
            say(f"final runs in MLflow at {without_credentials(uri)} ({server.why})", err=True)
            runs = runs_of(connect(uri), number, also=also)
    if save is not None:
        written = write_records(save, runs)
        say(f"{len(written)} final runs written to {save}", err=True)
    made = table_of(number, runs)
    text = paper_table_text(made) if form == "text" else FORMATS[form](made).removesuffix("\n")
    report(made.to_dict(), lambda: say(text), as_json=json_)


@click.command()
@click.argument("name", required=False)
@click.option("--port", type=click.IntRange(1, 65535), help="Of a new server.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@tracking_uri
@as_json
def ui(name: str | None, port: int | None, no_browser: bool, tracking_uri: str | None, json_: bool) -> None:
    """Open the MLflow UI on NAME, or on the newest sweep; Ctrl-C ends it.

    A sweep is shown by the table of its trials, a training or final run by its page, on the server that it tracks to.
    """
    from jobs.operations.homes_server import HomesServer
    from jobs.operations.tracking_server import chosen_uri
    from jobs.operations.ui import serve
    from jobs.store.header import Header
    from jobs.store.home import Home

    home = Home()
    folder = None if name is None else home.sweep(name)
    server = HomesServer.of(home, chosen_uri(tracking_uri), None if folder is None else Header.read(folder))

    def announce(url: str) -> None:
        ending = "\nCtrl-C ends it" if server.uri is None else ""
        say(json.dumps({"url": url}) if json_ else f"MLflow UI: {url} ({server.why}){ending}")
        if not no_browser:
            webbrowser.open(url)

    serve(home, server.uri, port=port, announce=announce, folder=folder)


@click.command()
@click.argument("name", required=False)
@click.option("--rebuild", is_flag=True, help="Ship the whole journal of NAME again, for an MLflow that lost it.")
@click.option("--repair", is_flag=True, help="Mend what can be mended of the files of NAME.")
@click.option(
    "--adopt", is_flag=True, help="Make NAME, a copy of a sweep, one of its own, with MLflow runs of its own."
)
@click.option("--moved", is_flag=True, help="NAME is no copy but was moved here, or restored, and goes on here.")
@tracking_uri
@as_json
def doctor(
    name: str | None,
    rebuild: bool,
    repair: bool,
    adopt: bool,
    moved: bool,
    tracking_uri: str | None,
    json_: bool,
) -> None:
    """Check this machine; with NAME, check its files and ship what waits for MLflow."""
    from jobs.operations import copies
    from jobs.operations.doctor import examine, idle_sweep, ship
    from jobs.operations.sweep_check import Check, check_sweep
    from jobs.operations.sweep_check import repair as mend
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    if name is None:
        options = {"rebuild": rebuild, "repair": repair, "adopt": adopt, "moved": moved}
        if (given := next((option for option, is_given in options.items() if is_given), None)) is not None:
            raise RequestError(f"--{given} needs the NAME of a sweep")
        checks = examine(Home())
        report(list(map(dataclasses.asdict, checks)), lambda: say(*(one.line() for one in checks)), as_json=json_)
        if not all(check.ok for check in checks):
            sys.exit(1)
        return
    if adopt and moved:
        raise RequestError("--adopt is for a copy and --moved for what is none: give one of them")
    quiet_libraries()
    folder = idle_sweep(Home(), name)
    mended = [copies.adopt(folder)] if adopt else [copies.moved(folder)] if moved else []
    mended += mend(folder) if repair else []
    checks, done = check_sweep(folder), None
    if all(check.ok for check in checks if check.check in ("header", "place", "journal")):
        try:
            done = ship(Home(), name, uri=chosen_uri(tracking_uri), rebuild=rebuild, repair=repair)
        except (RequestError, WorkError) as error:
            checks.append(Check("MLflow", ok=False, found=str(error)))
    if done is not None:
        if done.mended:  # models are among it
            mended, checks = [*mended, *done.mended], check_sweep(folder)
        fine = Check("MLflow", ok=True, found="as the journal has it")
        checks += [Check("MLflow", ok=False, found=line) for line in done.problems] or [fine]
    lines = [*(f"repair: {line}" for line in mended), *(one.line() for one in checks if not one.ok)]
    data: dict[str, Any] = {"name": name, "mended": mended, "checks": list(map(dataclasses.asdict, checks))}
    if done is not None:
        data, lines = data | done.to_json(), [*lines, *done.lines()]
    report(data, lambda: say(*lines), as_json=json_)
    if done is None or done.refused or not all(check.ok for check in checks):
        sys.exit(1)
