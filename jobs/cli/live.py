"""The verbs that change a running sweep: ``prune``, ``add``, ``limit``."""

import dataclasses
import sys
from typing import TYPE_CHECKING

import click

from jobs.cli.output import as_json, quiet_libraries, report, say

if TYPE_CHECKING:
    from jobs.operations.live import Asked


@click.command()
@click.argument("name")
@click.argument("trial")
@as_json
def prune(name: str, trial: str, json_: bool) -> None:
    """End TRIAL of the running sweep NAME as pruned.

    It ends at its next validation point, as when the pruner decides so, and its best weights are kept; one that waits
    ends at once. A sweep that was stopped does it when it goes on.
    """
    from jobs.operations import live
    from jobs.store.home import Home

    quiet_libraries()
    _report(live.prune(Home(), name, trial), json_)


@click.command()
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--like", metavar="TRIAL", help="Takes the values that are not given from this trial.")
@click.option("--warm-start", is_flag=True, help="It begins with the best weights so far of the trial after --like.")
@as_json
def add(name: str, values: tuple[str, ...], like: str | None, warm_start: bool, json_: bool) -> None:
    """Add a configuration of your own to the running sweep NAME.

    KEY=VALUE are parameters of its space, as under enqueue in a job file. It comes into the next pack, beyond the
    trials of the job, and the sampler learns of it. A sweep that was stopped takes it up when it goes on.
    With --warm-start it is no result of its configuration alone: it is not ranked, and promote does not pick it.
    """
    from jobs.operations import live
    from jobs.store.home import Home

    quiet_libraries()
    _report(live.add(Home(), name, values, like=like, warm_start=warm_start), json_)


def _count(context: click.Context, option: click.Parameter, value: str) -> int | None:
    """A number of trials, or ``none``."""
    if value == "none":
        return None
    if not value.isascii() or not value.isdigit() or not int(value[:9]) >= 1 or len(value) > 6:
        raise click.BadParameter(f"must be a whole number from 1 to 999999, or none, got {value!r}")
    return int(value)


@click.command()
@click.argument("name")
@click.option("--concurrent", callback=_count, required=True, metavar="N", help="So many; none for no limit.")
@as_json
def limit(name: str, concurrent: int | None, json_: bool) -> None:
    """Let at most N trials of the running sweep NAME train at once.

    Those that train go on; no other begins while there are N. A sweep that was stopped does it when it goes on.
    """
    from jobs.operations import live
    from jobs.store.home import Home

    _report(live.limit(Home(), name, concurrent), json_)


def _report(asked: "Asked", as_json: bool) -> None:
    """Say what became of a request; exits with 1 unless it was taken up."""
    report(dataclasses.asdict(asked), lambda: say(asked.said), as_json=as_json)
    if not asked.taken_up:
        sys.exit(1)
