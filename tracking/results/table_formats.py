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
    "retrained",
    "retrained ± tasks",
    "retrained ± seeds",
    "retrained seeds",
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
    "retrained by",
    "retrained code",
)
_RUNS: Final = ("final run", "date", "code", "retrained by", "retrained code")
"""What is left out in print."""


def columns_of(cell: Cell) -> tuple[str, ...]:
    """The row of a cell, as text; empty where there is nothing."""
    paper, ours, again = cell.paper, cell.ours, cell.retrained
    found = {
        "method": paper.method,
        "task": paper.task,
        "paper": number(paper.value),
        "paper ± tasks": number(paper.ci95),
    }
    if again is not None:
        found |= {
            "retrained": number(again.value),
            "retrained ± tasks": number(again.ci95_tasks),
            "retrained ± seeds": number(again.ci95_seeds),
            "retrained seeds": str(again.seeds),
            "retrained by": again.run_name,
            "retrained code": again.code,
        }
    if ours is not None:
        found |= {
            "ours": number(ours.value),
            "± tasks": number(ours.ci95_tasks),
            "± seeds": number(ours.ci95_seeds),
            "seeds": str(ours.seeds),
            "difference": number(cell.difference, sign=True),
            "intervals meet": cell.intervals_meet or "",
            "budget": ours.budget or "",
            "parameters": "" if ours.parameters is None else f"{ours.parameters:,}",
            "hours a seed": "" if ours.hours is None else f"{ours.hours:.3g}",
            "final run": ours.run_name,
            "date": ours.date,
            "code": ours.code,
        }
    return tuple(found.get(name, "") for name in COLUMNS)


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


INTERVALS: Final = (
    "± is half of the 95% interval: over test tasks, as the paper's is, and over seeds. Retrained is the "
    "paper's own configuration, trained here as the authors' code ran it."
)
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
    shown = [index for index, name in enumerate(COLUMNS) if name not in _RUNS]
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
