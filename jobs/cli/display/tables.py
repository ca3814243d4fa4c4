"""Tables on stdout."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.cli.output import printable
from jobs.operations.status import Damaged, Status, TrialStatus

stdout = Console()


def cell(text: str) -> str:
    """Text in a cell of a table, as it is: neither the terminal nor rich obeys it."""
    return escape(printable(text).replace("\n", "\\n"))


def show_statuses(found: Sequence[Status | Damaged]) -> None:
    """One line a sweep, and below the table what is wrong with those that are damaged."""
    stdout.print(statuses_table(found))
    for row in found:
        for line in [f"{row.name}: {row.problem}"] if isinstance(row, Damaged) else status_lines(row):
            stdout.print(printable(line), markup=False, highlight=False)


def statuses_table(found: Sequence[Status | Damaged]) -> Table:
    """One line a sweep."""
    table = Table()
    for heading in ("name", "kind", "state", "runs", "best", "leader"):
        table.add_column(heading)
    for row in found:
        if isinstance(row, Damaged):
            table.add_row(cell(row.name), "", "damaged", "", "", "")
            continue
        runs = ", ".join(f"{count} {state}" for state, count in row.counts.items())
        best = "" if row.best is None else f"{row.best:.4f}"
        state = f"{row.state}, archived" if row.archived else row.state
        table.add_row(cell(row.name), row.kind, state, runs, best, cell(row.leader or ""))
    return table


def status_lines(status: Status) -> list[str]:
    """How a sweep is limited, and what MLflow does not have of it; nothing of what is on its way."""
    lines, tracking = [], status.tracking
    if status.concurrent is not None and status.state != "complete":
        lift = f"oplstm limit {status.name} --concurrent none lifts that"
        lines.append(f"{status.name}: at most {status.concurrent} trials train at once; {lift}")
    waiting = f"{status.name}: {tracking.waiting} records wait for MLflow"
    if tracking.silent_since is not None:
        since = datetime.fromtimestamp(tracking.silent_since)
        lines.append(f"{waiting}, which has taken nothing since {since:%Y-%m-%d %H:%M:%S}: {tracking.reason}")
    elif tracking.waiting and status.state != "running":
        lines.append(f"{waiting}: oplstm doctor {status.name} ships them")
    if tracking.last_refusal is not None:
        refused = f"{tracking.refused} records were refused by MLflow or deleted there"
        lines.append(f"{status.name}: {refused}, the last {tracking.last_refusal}")
    return lines


def show_trials(trials: Sequence[TrialStatus]) -> None:
    """One line a trial."""
    stdout.print(trials_table(trials))


def trials_table(trials: Sequence[TrialStatus]) -> Table:
    """One line a trial."""
    table = Table()
    for heading in ("trial", "state", "done", "val/best", "configuration"):
        table.add_column(heading, overflow="fold")
    for trial in trials:
        params = "  ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                           for name, value in trial.params.items())  # fmt: skip
        best = "" if trial.best is None else f"{trial.best:.4f}"
        params += f"  (began with {trial.began_with})" if trial.began_with else ""
        table.add_row(cell(trial.name), trial.state, f"{trial.fraction:.0%}", best, cell(params))
    return table
