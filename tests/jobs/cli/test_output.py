"""What reaches the terminal: text that it shows and never obeys, and no blank lines before errors."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from jobs.cli.display import tables
from jobs.cli.display.paper_table import paper_table_text
from jobs.cli.display.tables import cell, show_statuses, show_trials
from jobs.cli.main import Verbs, main
from jobs.cli.output import printable, say
from jobs.execution.remote_coordinator import reason_of
from jobs.operations.status import Damaged, TrialStatus
from jobs.store.states import TrialState
from oplstm.errors import RequestError, WorkError
from tests.conftest import ROOT
from tracking.results.tables import TABLES, Cell, Result, Table

NASTY = "\x1b[31mred\x1b]0;title\x07 \x9b2J\u202egnp\u200b\ud800 \x00"
SHOWN = r"\x1b[31mred\x1b]0;title\x07 \x9b2J\u202egnp\u200b\ud800 \x00"
JOB = """\
learner: lstm
benchmark: {name: sine}
space: tests.jobs.jobfile.odd_spaces:escapes
budget: {tasks: 10, validate_every: 5}
"""


@pytest.mark.parametrize("text", ["plain", "größe ± 0.3 ━ 日本 🙂", "two\nlines", "a\ttab", "a\\b", ""])
def test_what_a_terminal_only_shows_stays_as_it_is(text):
    assert printable(text) == text


def test_what_a_terminal_would_obey_is_escaped(capsys):
    assert printable(NASTY) == SHOWN
    assert printable("\r\x0b\x85\u2028\u2066") == r"\r\x0b\x85\u2028\u2066"
    say("one", NASTY)
    say(NASTY, err=True)
    assert tuple(capsys.readouterr()) == (f"one\n{SHOWN}\n", f"{SHOWN}\n")


def test_cells_of_tables_are_text_for_the_terminal_and_for_rich(monkeypatch):
    console = Console(record=True, width=300, force_terminal=True, color_system=None)
    monkeypatch.setattr(tables, "stdout", console)
    show_statuses([Damaged("n", f"its header says {NASTY}")])
    params = {f"key{NASTY}": f"[bold]value{NASTY}\nmore"}
    show_trials([TrialStatus("trial-0000", TrialState.COMPLETE, 1.0, None, params, "", placed=True)])
    text = console.export_text()
    assert text.count(SHOWN) == 3
    assert "[bold]value" in text and r"\nmore" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert cell("[red]") == r"\[red]"


def test_what_a_server_calls_its_runs_is_text_too():
    ours = Result(0.5, None, None, 1, None, None, None, "code", f"[red]{NASTY}", "def", "2026-01-02 03:04")
    text = paper_table_text(Table(1, "sine", "MSE", (Cell(TABLES[1][2][0], ours),)))
    whole = "".join(text.split())
    assert "[red]" in whole and "\\x1b[31mred" in whole
    assert printable(text) == text


def test_what_a_folder_of_data_says_is_text_too(oplstm_home):
    folder = oplstm_home / "data" / f"cub{NASTY[:5]}"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps({"title": NASTY}))
    done = CliRunner().invoke(main, ["data", "status"])
    assert done.exit_code == 1
    assert "\x1b" not in done.output and r"cub\x1b[31m" in done.output


def failing(error):
    @click.command()
    def verb():
        raise error

    group = Verbs(commands={"verb": verb})
    done = CliRunner().invoke(group, ["verb"])
    assert done.stdout == ""
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("error", "code", "wanted"),
    [
        (RequestError(["first", "second"]), 2, "oplstm: first\noplstm: second\n"),
        (RequestError("at\n  line\n  ^"), 2, "oplstm: at\noplstm:   line\noplstm:   ^\n"),
        (RequestError(f"key {NASTY}"), 2, f"oplstm: key {SHOWN}\n"),
        (RequestError("a\u2028b\x85c"), 2, "oplstm: a\\u2028b\\x85c\n"),
        (WorkError(f"log {NASTY}"), 1, f"oplstm: log {SHOWN}\n"),
        (WorkError(), 1, "oplstm: WorkError\n"),
        (OSError(), 1, "oplstm: OSError\n"),
        (OSError(28, "No space left on device"), 1, "oplstm: [Errno 28] No space left on device\n"),
    ],
)
def test_an_error_is_printable_lines_and_never_nothing(error, code, wanted):
    assert failing(error) == (code, wanted)


def test_the_words_of_a_space_are_shown_and_not_obeyed(tmp_path, oplstm_home):
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    done = CliRunner().invoke(main, ["plan", str(path)])
    assert done.exit_code == 2
    assert r"raises ValueError: \x1b[31mred\x1b[0m; for" in done.stderr
    path.write_text(JOB.replace("learner:", '"lear\u202ener":'))
    done = CliRunner().invoke(main, ["plan", str(path)])
    assert "\u202e" not in done.output
    assert r"unknown 'lear\u202ener'; did you mean 'learner'?" in done.stderr


BAR = """
import sys
from jobs.cli.display.progress import progress_bar
from jobs.sweep.messages import Progress
from oplstm.errors import RequestError
with progress_bar("sweep [red]\\x1b[31m") as show:
    if sys.argv[1] == "RequestError":
        raise RequestError("no")
    show(Progress(0.0, 3, 0, False, 0, 0.0, {}, None, None, 0, None, None))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("error", "lines"), [("RequestError", 0), ("None", 1)])
def test_progress_that_nobody_watches_is_whole_lines(error, lines):
    done = subprocess.run([sys.executable, "-c", BAR, error], capture_output=True, text=True, check=False, cwd=ROOT)
    before = done.stderr.partition("Traceback")[0]
    assert before.count("\n") == lines
    assert "\n\n" not in before and not before.startswith("\n")
    assert "\x1b" not in before
    assert (r"sweep [red]\x1b[31m" in before) == bool(lines)


class Caused(Exception):
    def __init__(self, cause):
        self.cause = cause
        super().__init__("a traceback of Ray's\nand its last line")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("why"), "why"),
        (ValueError("first\nlast\n"), "last"),
        (ValueError(), "ValueError"),
        (ValueError(" \n "), "ValueError"),
        (Caused(KeyError("k")), "'k'"),
        (Caused(RuntimeError()), "RuntimeError"),
        (Caused(None), "and its last line"),
    ],
)
def test_a_reason_is_never_nothing(error, reason):
    assert reason_of(error) == reason
