"""Tables on stdout."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.operations.status import Damaged, Status, TrialStatus

if TYPE_CHECKING:  # promotion imports torch, which a sweep's status is shown without
    from jobs.promotion.selection import Choice

stdout = Console()


def show_statuses(found: Sequence[Status | Damaged]) -> None:
    """One line a sweep, and below the table what is wrong with those that are damaged."""
    table = Table()
    for heading in ("name", "kind", "state", "runs", "best", "leader"):
        table.add_column(heading)
    for row in found:
        if isinstance(row, Damaged):
            table.add_row(escape(row.name), "", "damaged", "", "", "")
            continue
        runs = ", ".join(f"{count} {state}" for state, count in row.counts.items())
        best = "" if row.best is None else f"{row.best:.4f}"
        table.add_row(row.name, row.kind, row.state, runs, best, row.leader or "")
    stdout.print(table)
    for row in found:
        if isinstance(row, Damaged):
            stdout.print(f"{row.name}: {row.problem}", markup=False, highlight=False)


def show_trials(trials: Sequence[TrialStatus]) -> None:
    """One line a trial."""
    table = Table()
    for heading in ("trial", "state", "done", "val/best", "configuration"):
        table.add_column(heading, overflow="fold")
    for trial in trials:
        params = "  ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                           for name, value in trial.params.items())  # fmt: skip
        best = "" if trial.best is None else f"{trial.best:.4f}"
        table.add_row(trial.name, trial.state, f"{trial.fraction:.0%}", best, escape(params))
    stdout.print(table)


def show_choice(choice: "Choice") -> None:
    """The leaders of a sweep and the one that was picked."""
    from jobs.cli.display.results import interval

    table = Table(title="Candidates: the best meta-validation and what is statistically tied with it")
    for heading in ("trial", "meta-validation", "behind the best", "block A (picks)", ""):
        table.add_column(heading)
    for leader in choice.leaders:
        mark = "picked" if leader.name == choice.picked else "tied"
        table.add_row(leader.name, interval(leader.validation), interval(leader.behind), interval(leader.score_a), mark)
    table.caption = f"{choice.picked} on block B, which picked nothing: {interval(choice.score_b)}"
    stdout.print(table)
