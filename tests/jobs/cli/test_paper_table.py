"""A table of the paper as text."""

import contextlib
import json
from dataclasses import replace

import pytest

from jobs.cli.display.paper_table import paper_table_text
from tests.jobs.cli.verbs import run
from tests.tracking.results.final_runs import final_run
from tracking.results.table_formats import FORMATS
from tracking.results.tables import TABLES, Cell, Other, Result, Table, table_of

LONE = Result(0.5, None, None, 1, None, None, None, "a" * 12, "a-long-name" * 6, "def", "2026-01-02 03:04")


def test_ours_stand_beside_the_paper_s_and_what_is_missing_is_named():
    text = paper_table_text(table_of(1, [final_run("sine-final"), final_run("toy", seeds=1)]))
    row = next(line for line in text.splitlines() if "0.0406 ± 0.0023" in line)
    assert "0.0391 ± 0.0019" in row and "0.0123" in row and " 3 " in row and "-0.0015" in row and " yes " in row
    assert text.count("not run") == 8
    words = " ".join(text.split())
    took = "70,000 tasks a seed, 20,201 parameters, 0.2 h a seed, aaaaaaaaaaaa, 2023-11-14 22:13"
    assert f"LSTM 5-shot: sine-final ({took})" in words
    assert words.endswith("toy (lstm 5-shot on sine, 0.0391): seeds 1, the cell's 3")
    missing = [f"{cell.method} {cell.shots}-shot" for cell in TABLES[1][2]][1:]
    assert f"Not run: {', '.join(missing)}." in words


@pytest.mark.parametrize("number", TABLES)
def test_it_fits_into_the_width_of_a_terminal_and_nothing_is_obeyed(number):
    title, metric, papers = TABLES[number]
    other = Other("[red]" * 40, "id", "2026-01-02 03:04", "lstm", 0.5, 1, ("differs",) * 40)
    text = paper_table_text(Table(number, title, metric, tuple(Cell(paper, LONE) for paper in papers), (other,)))
    assert max(map(len, text.splitlines())) <= 118
    assert text.replace("\n", "").count("[red]") >= 35


def test_each_format_is_what_the_verb_prints(home, monkeypatch):
    runs = [final_run("sine-final")]
    made = table_of(1, runs)
    server = contextlib.nullcontext("http://127.0.0.1:1")
    monkeypatch.setattr("jobs.operations.tracking_server.tracking_server", lambda *args, **keys: server)
    monkeypatch.setattr("tracking.server.client.connect", lambda uri: None)
    monkeypatch.setattr("tracking.results.tables.runs_of", lambda client, number, also: runs)
    for form, text in FORMATS.items():
        assert run("table", 1, "--format", form).stdout == text(made)
    assert run("table", 1).stdout == paper_table_text(made) + "\n"
    assert json.loads(run("table", 1, "--json").stdout) == json.loads(json.dumps(made.to_dict()))
    assert "csv" in run("table", 1, "--format", "xml").stderr


def test_tables_are_made_of_records_without_a_server(home, tmp_path, monkeypatch):
    runs = [final_run("sine-final", tags={"oplstm.host": "a-machine"}), final_run("sine/toy", seeds=1)]
    running = final_run("running")
    running = replace(running, parent=replace(running.parent, metrics={}))
    server = contextlib.nullcontext("http://127.0.0.1:1")
    with monkeypatch.context() as patch:
        patch.setattr("jobs.operations.tracking_server.tracking_server", lambda *args, **keys: server)
        patch.setattr("tracking.server.client.connect", lambda uri: None)
        patch.setattr("tracking.results.tables.runs_of", lambda client, number, also: [running, *runs])
        saved = run("table", 1, "--save", tmp_path / "runs")
    assert saved.stderr.endswith(f"2 final runs written to {tmp_path / 'runs'}\n")
    files = {path.name: path.read_text() for path in (tmp_path / "runs").iterdir()}
    assert set(files) == {"sine-final.json", "sine_toy.json"}
    assert not any("a-machine" in text for text in files.values())
    assert run("table", 1, "--from", tmp_path / "runs").stdout == saved.stdout
    assert run("table", 2, "--from", tmp_path / "runs").stdout.count("not run") == 8
    assert "--also names a training of a server" in run("table", 1, "--from", tmp_path / "runs", "--also", "a").stderr
    (tmp_path / "runs" / "other.json").write_text('{"parent": 1}')
    for folder, said in ((tmp_path / "runs", "other.json is no record of a final run"), (tmp_path, "holds no records")):
        failed = run("table", 1, "--from", folder)
        assert failed.exit_code == 2 and said in failed.stderr and failed.stderr.count("\n") == 1
