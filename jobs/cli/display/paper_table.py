"""A table of the paper as text, ours beside its cells."""

import io

from rich.console import Console
from rich.table import Table as Grid

from jobs.cli.display.tables import cell as as_text
from tracking.results.tables import Cell, Table

WIDTH = 118


def paper_table_text(table: Table) -> str:
    """The table in at most ``WIDTH`` columns."""
    grid = Grid(title=f"Table {table.number}: {table.title}", title_justify="left")
    grid.add_column("method")
    for heading in ("tasks", "paper", "ours", "± seeds", "seeds"):
        grid.add_column(heading, justify="right")
    grid.add_column("final run", overflow="fold")
    previous = ""
    for cell in table.cells:
        if previous and cell.paper.method != previous:
            grid.add_section()
        grid.add_row(*_columns(cell, first=cell.paper.method != previous))
        previous = cell.paper.method
    text = io.StringIO()
    console = Console(file=text, width=WIDTH, color_system=None, highlight=False)
    console.print(grid)
    console.print(f"{table.metric}. ± is half of the 95% interval: over all test tasks pooled, and over seeds.")
    if table.not_run:
        console.print(f"Not run: {', '.join(table.not_run)}.")
    return text.getvalue().rstrip()


def _columns(cell: Cell, *, first: bool) -> tuple[str, ...]:
    paper, ours = cell.paper, cell.ours
    left = (paper.method if first else "", paper.task, _interval(paper.value, paper.ci95))
    if ours is None:
        return (*left, "not run", "", "", "")
    seeds = "" if ours.ci95_seeds is None else f"{ours.ci95_seeds:.4f}"
    return (*left, _interval(ours.value, ours.ci95_tasks), seeds, str(ours.seeds), as_text(ours.run_name))


def _interval(value: float, half: float | None) -> str:
    return f"{value:.4f}" if half is None else f"{value:.4f} ± {half:.4f}"
