"""A table of the paper as Markdown, CSV and LaTeX. The same table gives the same bytes."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import Final

from tracking.results.tables import Cell, Table

COLUMNS: Final = (
    "method",
    "task",
    "paper",
    "paper ± tasks",
    "ours",
    "± tasks",
    "± seeds",
    "seeds",
    "difference",
    "intervals meet",
    "budget",
    "parameters",
    "hours a seed",
    "final run",
    "date",
    "code",
)


def columns_of(cell: Cell) -> tuple[str, ...]:
    """The row of a cell, as text; empty where there is nothing."""
    paper, ours = cell.paper, cell.ours
    left = (paper.method, paper.task, number(paper.value), number(paper.ci95))
    if ours is None:
        return left + ("",) * (len(COLUMNS) - len(left))
    return (
        *left,
        number(ours.value),
        number(ours.ci95_tasks),
        number(ours.ci95_seeds),
        str(ours.seeds),
        number(cell.difference, sign=True),
        cell.intervals_meet or "",
        ours.budget or "",
        "" if ours.parameters is None else f"{ours.parameters:,}",
        "" if ours.hours is None else f"{ours.hours:.3g}",
        ours.run_name,
        ours.date,
        ours.code,
    )


def number(value: float | None, *, sign: bool = False) -> str:
    """A score or half an interval."""
    return "" if value is None else f"{value:{'+' if sign else ''}.4f}"


def markdown(table: Table) -> str:
    """A table for GitHub and the like."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(columns_of(cell) for cell in table.cells)]
    lines = [f"| {' | '.join(_markdown(text) for text in row)} |" for row in rows]
    return "\n".join([f"**Table {table.number}: {table.title}**", "", *lines, *_notes(table, _markdown)]) + "\n"


def _markdown(text: str) -> str:
    """Text that neither ends its column nor marks anything up."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())


def _notes(table: Table, escape: Callable[[str], str]) -> list[str]:
    found = [f"{table.metric}. {INTERVALS}"]
    if table.not_run:
        found.append(f"Not run: {', '.join(table.not_run)}.")
    if table.others:
        found.append(f"{OTHERS}:")
    return ["", "\n\n".join(found), *([""] if table.others else []), *(f"- {escape(o.line)}" for o in table.others)]


INTERVALS: Final = "± is half of the 95% interval: over all test tasks pooled, as the paper's is, and over seeds."
OTHERS: Final = "Final runs that stand in no cell"


def comma_separated(table: Table) -> str:
    """A line a cell, then one for each run that stands in none, with what differs in a last column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, "differs"])
    for cell in table.cells:
        found = dict(zip(COLUMNS, columns_of(cell), strict=True))
        writer.writerow([*(found | {"parameters": found["parameters"].replace(",", "")}).values(), ""])
    for other in table.others:
        empty = dict.fromkeys(COLUMNS, "")
        found = empty | {"task": other.what, "ours": number(other.value), "seeds": str(other.seeds)}
        found |= {"final run": other.run_name, "date": other.date}
        writer.writerow([*found.values(), "; ".join(other.differs)])
    return text.getvalue()


def latex(table: Table) -> str:
    """A ``tabular`` for the package booktabs; what stands in no cell is a comment."""
    shown = [index for index, name in enumerate(COLUMNS) if name not in ("final run", "date", "code")]
    rows = [" & ".join(_latex(columns_of(cell)[index]) for index in shown) + r" \\" for cell in table.cells]
    head = " & ".join(_latex(COLUMNS[index]) for index in shown) + r" \\"
    lines = [rf"\begin{{tabular}}{{{'l' * 2 + 'r' * (len(shown) - 2)}}}", r"\toprule", head, r"\midrule", *rows]
    lines += [r"\bottomrule", r"\end{tabular}", f"% Table {table.number}: {table.title}. {table.metric}. {INTERVALS}"]
    lines += [f"% not run: {', '.join(table.not_run)}"] if table.not_run else []
    return "\n".join([*lines, *(f"% in no cell: {' '.join(other.line.split())}" for other in table.others)]) + "\n"


def _latex(text: str) -> str:
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    marks |= {mark: "\\" + mark for mark in "&%$#_{}"} | {"->": r"$\to$"}
    out = text.replace("->", "\0")
    return "".join(marks["->"] if letter == "\0" else marks.get(letter, letter) for letter in out)


FORMATS: Final[Mapping[str, Callable[[Table], str]]] = {"markdown": markdown, "csv": comma_separated, "latex": latex}
