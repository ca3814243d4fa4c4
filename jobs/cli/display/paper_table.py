"""A table of the paper as text, ours beside its cells."""

import io

from rich.console import Console
from rich.table import Table as Grid

from jobs.cli.display.tables import cell as as_text
from tracking.results.table_formats import INTERVALS, OTHERS, number
from tracking.results.tables import Cell, Result, Table

WIDTH = 118


def paper_table_text(table: Table) -> str:
    """The table in at most ``WIDTH`` columns, and below it what made each cell and what stands in none."""
    grid = Grid(title=f"Table {table.number}: {table.title}", title_justify="left")
    grid.add_column("method")
    for heading in ("tasks", "paper", "retrained", "ours", "± seeds", "seeds", "difference", "meet"):
        grid.add_column(heading, justify="right")
    previous = ""
    for cell in table.cells:
        if previous and cell.paper.method != previous:
            grid.add_section()
        grid.add_row(*_columns(cell, first=cell.paper.method != previous))
        previous = cell.paper.method
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, highlight=False)
    console.print(grid)
    console.print(f"{table.metric}. {INTERVALS} 'meet' says whether our interval meets the paper's.")
    for cell in table.cells:
        if cell.ours is not None:
            console.print(as_text(f"{cell.name}: {_made_of(cell.ours)}"))
        if (again := cell.retrained) is not None:
            over = "" if again.ci95_seeds is None else f" ± {number(again.ci95_seeds)} over seeds"
            console.print(as_text(f"{cell.name} retrained: {again.seeds} seeds{over}, {_made_of(again)}"))
    if table.not_run:
        console.print(f"Not run: {', '.join(table.not_run)}.")
    if table.others:
        console.print(f"{OTHERS}:")
    for other in table.others:
        console.print(as_text(f"  {other.line}"))
    return text.getvalue().rstrip()


def _columns(cell: Cell, *, first: bool) -> tuple[str, ...]:
    paper, ours = cell.paper, cell.ours
    again = "" if cell.retrained is None else _interval(cell.retrained.value, cell.retrained.ci95_tasks)
    left = (paper.method if first else "", paper.task, _interval(paper.value, paper.ci95), again)
    if ours is None:
        return (*left, "not run", "", "", "", "")
    right = (number(ours.ci95_seeds), str(ours.seeds), number(cell.difference, sign=True), cell.intervals_meet or "")
    return (*left, _interval(ours.value, ours.ci95_tasks), *right)


def _made_of(ours: Result) -> str:
    """The run behind a result, and what it took."""
    took = [
        f"{ours.budget} a seed" if ours.budget else "",
        "" if ours.parameters is None else f"{ours.parameters:,} parameters",
        "" if ours.hours is None else f"{ours.hours:.3g} h a seed",
        ours.code,
        ours.date,
    ]
    return f"{ours.run_name} ({', '.join(filter(None, took))})"


def _interval(value: float, half: float | None) -> str:
    return f"{value:.4f}" if half is None else f"{value:.4f} ± {half:.4f}"
