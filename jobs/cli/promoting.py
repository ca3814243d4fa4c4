"""``oplstm promote``."""

import dataclasses
import sys

import click

from jobs.cli.interrupt import stop_on_interrupt
from jobs.cli.output import as_json, quiet_libraries, report, say, tracking_uri
from jobs.cli.running import is_done


@click.command()
@click.argument("name")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Of the final run; by default the job's.")
@click.option("--dry-run", is_flag=True, help="Only say what would be picked.")
@tracking_uri
@as_json
def promote(name: str, seeds: int | None, dry_run: bool, tracking_uri: str | None, json_: bool) -> None:
    """Pick the best configuration of sweep NAME by meta-validation, register it, and run its final run."""
    from jobs.cli.display.progress import progress_bar
    from jobs.cli.display.results import ending_lines
    from jobs.cli.display.tables import show_choice
    from jobs.operations.promote import select, start_final
    from jobs.operations.running import require_original
    from jobs.operations.status import sweep_status
    from jobs.operations.tracking_server import chosen_uri, tracking_server
    from jobs.operations.trust import server_of
    from jobs.promotion.registration import register
    from jobs.store.header import Header
    from jobs.store.home import Home

    quiet_libraries()
    home = Home()
    folder = home.sweep(name)
    header = Header.read(folder) if dry_run else require_original(folder)
    choice = select(folder)
    data = dataclasses.asdict(choice.event())
    del data["event"]
    if not json_:
        show_choice(choice)
    if dry_run:
        report(data, lambda: None, as_json=json_)
        return
    home.check_writable()
    final = home.free_name(f"{name}-final")
    stop_on_interrupt(home, final)
    server = server_of(header, chosen_uri(tracking_uri))
    with tracking_server(home, server, wait=True) as uri:
        data["registered"] = register(folder, choice, uri)
        if not json_:
            say(f"registered {data['registered']} in the MLflow Model Registry")
        with progress_bar(final) as show:
            outcome = start_final(home, folder, choice, name=final, seeds=seeds, uri=server, progress=show)
    status, result = sweep_status(outcome.folder), outcome.result
    data |= {"final": final, "state": status.state, "result": None if result is None else result.to_json()}
    report(data, lambda: say(*ending_lines(status, result)), as_json=json_)
    if not is_done(status, outcome):
        sys.exit(1)
