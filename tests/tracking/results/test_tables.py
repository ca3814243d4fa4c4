"""Table 1: the paper's cells, and ours beside them, read from MLflow."""

from pathlib import Path
from typing import Any

import pytest

from tests.tracking.conftest import Rest
from tests.tracking.sweep_records import START, write
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox
from tracking.results.paper_results import ACROSS_TABLE_4, OMNIGLOT_TABLE_2, SINE_TABLE_1, WITHIN_TABLE_3
from tracking.results.tables import Cell, Result, Table, paper_table
from tracking.server.client import connect


def final(key: str, experiment: str, *, metrics: dict[str, float], start: float = START, **tags: str) -> list[Any]:
    labels = {"kind": "final", "benchmark": "sine", "shots": "5", "learner": "lstm", "mode": "batched"} | tags
    return [
        records.CreateRun(
            key,
            name=key.rpartition("/")[2],
            parent_key=None,
            experiment=experiment,
            tags={f"oplstm.{name}": value for name, value in labels.items()},
            params={},
            start_time=start,
        ),
        records.Points(key, step=1, metrics=metrics, timestamp=START),
    ]


@pytest.mark.unit
def test_the_paper_s_cells() -> None:
    cells = {(cell.method, cell.shots): (cell.value, cell.ci95, cell.params) for cell in SINE_TABLE_1}
    assert len(cells) == 9
    assert cells["LSTM", 5] == (0.0406, 0.0023, 20_201)
    assert cells["MAML", 20] == (0.0049, 0.0005, 17_018)
    assert cells["OP-LSTM", 10] == (0.0076, 0.0007, 18_107)
    assert all("Table 1" in cell.source and cell.config for cell in SINE_TABLE_1)


@pytest.mark.unit
def test_the_paper_s_accuracies() -> None:
    cells = {(c.method, c.benchmark, c.across, c.shots): (c.value, c.ci95) for c in
             (*OMNIGLOT_TABLE_2, *WITHIN_TABLE_3, *ACROSS_TABLE_4)}  # fmt: skip
    assert len(cells) == 8 + 22 + 22
    assert cells["OP-LSTM", "omniglot", None, 1] == pytest.approx((0.843, 0.0087))
    assert cells["SAP", "cub", None, 1] == pytest.approx((0.635, 0.0099))
    assert cells["OP-LSTM", "cub", "miniimagenet", 5] == pytest.approx((0.490, 0.0040))
    assert ("LSTM", "cub", None, 1) not in cells, "it did not finish within the paper's two days"


@pytest.mark.unit
def test_data_names_what_is_missing() -> None:
    ours = Result(0.0391, 0.0019, 0.0123, 3, "sine-lstm-final", "abc", "2026-01-02 03:04")
    have = {("LSTM", 5): ours}
    table = Table(1, "sine", "MSE", tuple(Cell(cell, have.get((cell.method, cell.shots))) for cell in SINE_TABLE_1))
    data = table.to_dict()
    missing = [f"{cell.method} {cell.shots}-shot" for cell in SINE_TABLE_1 if (cell.method, cell.shots) not in have]
    assert data["not_run"] == missing
    assert data["cells"][0]["ours"]["ci95_seeds"] == 0.0123 and data["cells"][1]["ours"] is None
    assert data["cells"][0]["paper"]["value"] == 0.0406
    assert {cell.task for cell in ACROSS_TABLE_4 if cell.shots == 1} == {
        "miniimagenet -> cub 1-shot",
        "cub -> miniimagenet 1-shot",
    }


@pytest.mark.integration
def test_ours_are_the_newest_finals_with_a_result(rest: Rest, journal_path: Path, unique: str) -> None:
    full = {"final/test_loss": 0.04, "final/ci95_tasks": 0.002, "final/ci95_seeds": 0.01, "final/seeds": 3.0}
    new = {"start": START + 100}
    with Journal(journal_path) as journal:
        for group in (
            final(f"{unique}/old", unique, metrics=full | {"final/test_loss": 0.9}),
            final(f"{unique}/new", unique, metrics=full, **new),
            final(f"{unique}/unfinished", unique, metrics={"val/best": 0.1}, start=START + 200),
            final(f"{unique}/sequential", unique, metrics=full, mode="sequential", start=START + 300),
            final(f"{unique}/other-benchmark", unique, metrics=full, benchmark="omniglot", start=START + 300),
            final(f"{unique}/a-sweep", unique, metrics=full, kind="sweep", start=START + 300),
            final(f"{unique}/op", unique, metrics={"final/test_loss": 0.2}, learner="op_lstm", mode="", shots="10"),
            final(f"{unique}/by-default", unique, metrics=full, mode="", shots="20"),
        ):
            write(journal, *group)
    with Outbox(journal_path, rest.uri) as outbox:
        assert outbox.flush(60) == 0, outbox.last_error
    client = connect(rest.uri)
    for experiments in ([rest.experiment_id(unique)], None):
        ours = {(cell.paper.method, cell.paper.shots): cell.ours for cell in paper_table(client, 1, experiments).cells}
        found = {where: result.run_name for where, result in ours.items() if result is not None}
        assert found == {("LSTM", 5): "new", ("OP-LSTM", 10): "op", ("LSTM", 20): "by-default"}
    result = ours["LSTM", 5]
    assert result is not None
    assert (result.value, result.ci95_tasks, result.ci95_seeds, result.seeds) == (0.04, 0.002, 0.01, 3)
    op = ours["OP-LSTM", 10]
    assert op is not None and (op.ci95_tasks, op.ci95_seeds, op.seeds) == (None, None, 1)


@pytest.mark.integration
def test_accuracies_within_and_across_domains_and_on_parts(rest: Rest, journal_path: Path, unique: str) -> None:
    full = {"final/test_accuracy": 0.5, "final/ci95_tasks": 0.01, "final/seeds": 3.0}
    crossed = {"final/cross/cub/accuracy": 0.4, "final/cross/cub/ci95_tasks": 0.02}
    of = {"learner": "op_lstm", "mode": "", "shots": "1"}
    with Journal(journal_path) as journal:
        write(journal, *final(f"{unique}/mini", unique, metrics=full | crossed, benchmark="miniimagenet", **of))
        part = {"partial_dataset": "CUB, first 50 classes"}
        write(journal, *final(f"{unique}/part", unique, metrics=full, benchmark="cub", **of, **part))
    with Outbox(journal_path, rest.uri) as outbox:
        assert outbox.flush(60) == 0, outbox.last_error
    found = {}
    for number in (2, 3, 4):
        table = paper_table(connect(rest.uri), number, [rest.experiment_id(unique)])
        found |= {(number, c.paper.benchmark, c.paper.across): c.ours for c in table.cells if c.ours is not None}
    assert {where: result.value for where, result in found.items()} == {
        (3, "miniimagenet", None): 0.5,
        (3, "cub", None): 0.5,
        (4, "miniimagenet", "cub"): 0.4,
    }
    assert found[4, "miniimagenet", "cub"].ci95_tasks == 0.02
    assert found[3, "cub", None].run_name == "part (on CUB, first 50 classes)"
