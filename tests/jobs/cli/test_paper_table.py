"""A table of the paper as text."""

import pytest

from jobs.cli.display.paper_table import paper_table_text
from tracking.results.tables import TABLES, Cell, Result, Table

pytestmark = pytest.mark.unit

LONE = Result(0.5, None, None, 1, "a-long-name" * 6, "def", "2026-01-02 03:04")


def test_ours_stand_beside_the_paper_s_and_what_is_missing_is_named():
    ours = Result(0.0391, 0.0019, 0.0123, 3, "sine-lstm-final", "abc", "2026-01-02 03:04")
    have = {("LSTM", 5): ours, ("OP-LSTM", 5): LONE}
    papers = TABLES[1][2]
    table = Table(1, "sine", "MSE", tuple(Cell(cell, have.get((cell.method, cell.shots))) for cell in papers))
    text = paper_table_text(table)
    row = next(line for line in text.splitlines() if "sine-lstm-final" in line)
    assert "0.0406 ± 0.0023" in row and "0.0391 ± 0.0019" in row and "0.0123" in row and " 3 " in row
    assert text.count("not run") == 7
    missing = [f"{cell.method} {cell.shots}-shot" for cell in papers if (cell.method, cell.shots) not in have]
    assert "Not run: " + ", ".join(missing) == " ".join(text[text.index("Not run:") :].split()).rstrip(".")


@pytest.mark.parametrize("number", TABLES)
def test_it_fits_into_the_width_of_a_terminal(number):
    title, metric, papers = TABLES[number]
    table = Table(number, title, metric, tuple(Cell(paper, LONE) for paper in papers))
    assert max(map(len, paper_table_text(table).splitlines())) <= 118
