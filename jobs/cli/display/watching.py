"""A sweep that is watched: a display that changes on a terminal, and off one a line whenever something has changed."""

from collections.abc import Iterable

from rich.console import Console, Group
from rich.live import Live

from jobs.cli.display.progress import Clock, Pace
from jobs.cli.display.results import ending_lines
from jobs.cli.display.tables import statuses_table, trials_table
from jobs.cli.output import printable
from jobs.operations.status import Status


def follow(statuses: Iterable[Status], console: Console, clock: Clock) -> Status:
    """Show each status of a sweep, and return the last.

    Args:
        statuses: At least one.
        console: Where.
        clock: Tells the time.
    """
    return _live(statuses, console) if console.is_terminal else _lines(statuses, console, clock)


def _live(statuses: Iterable[Status], console: Console) -> Status:
    with Live(console=console, auto_refresh=False) as live:
        for status in statuses:
            shown = [*status.trials, *status.replicates][: max(3, console.height - 12)]
            live.update(Group(statuses_table([status]), trials_table(shown)), refresh=True)
    return status


def _lines(statuses: Iterable[Status], console: Console, clock: Clock) -> Status:
    pace = Pace(clock)
    for status in statuses:
        line = ending_lines(status, None)[0]
        if pace.is_due(line):
            console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
    return status
