"""The paper's tables: a final run stands in a cell where all agrees that defines it, and is listed below with what does
not."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oplstm.errors import RequestError
from tests.tracking.conftest import Rest
from tests.tracking.results.final_runs import ACCURACIES, CODE, OMNIGLOT, SCORES, final_run
from tests.tracking.sweep_records import START, write
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox
from tracking.results.final_runs import FinalRun
from tracking.results.paper_results import ACROSS_TABLE_4, OMNIGLOT_TABLE_2, SINE_TABLE_1, WITHIN_TABLE_3
from tracking.results.table_formats import COLUMNS, FORMATS
from tracking.results.tables import Table, runs_of, table_of
from tracking.server.client import connect


def test_the_paper_s_cells() -> None:
    cells = {(cell.method, cell.shots): (cell.value, cell.ci95, cell.params) for cell in SINE_TABLE_1}
    assert len(cells) == 9
    assert cells["LSTM", 5] == (0.0406, 0.0023, 20_201)
    assert cells["MAML", 20] == (0.0049, 0.0005, 17_018)
    assert cells["OP-LSTM", 10] == (0.0076, 0.0007, 18_107)
    assert all("Table 1" in cell.source and cell.config for cell in SINE_TABLE_1)


def test_the_paper_s_accuracies() -> None:
    cells = {(c.method, c.benchmark, c.across, c.shots): (c.value, c.ci95) for c in
             (*OMNIGLOT_TABLE_2, *WITHIN_TABLE_3, *ACROSS_TABLE_4)}  # fmt: skip
    assert len(cells) == 8 + 22 + 22
    assert cells["OP-LSTM", "omniglot", None, 1] == pytest.approx((0.843, 0.0087))
    assert cells["SAP", "cub", None, 1] == pytest.approx((0.635, 0.0099))
    assert cells["OP-LSTM", "cub", "miniimagenet", 5] == pytest.approx((0.490, 0.0040))
    assert ("LSTM", "cub", None, 1) not in cells, "it did not finish within the paper's two days"


def test_the_budgets_behind_the_cells() -> None:
    cells = (*SINE_TABLE_1, *OMNIGLOT_TABLE_2, *WITHIN_TABLE_3, *ACROSS_TABLE_4)
    budgets = {(c.learner, c.benchmark, c.shots): (c.budget, c.budget_unit, c.test_tasks, c.train_shots) for c in cells}
    assert budgets["maml", "sine", 20] == (70_000, "tasks", 2000, None)
    assert budgets["maml", "omniglot", 5] == (80_000, "updates", 600, None)
    assert budgets["maml", "cub", 5] == (60_000, "updates", 600, None)
    assert budgets["warp_maml", "miniimagenet", 1] == (60_000, "updates", 600, 5)
    assert [budgets["sap", "cub", shots][0] for shots in (1, 5)] == [15_000, 10_000]
    assert budgets["lstm", "miniimagenet", 1] == (80_000, "updates", 600, None)


def in_cells(table: Table) -> dict[str, str]:
    return {cell.name: cell.ours.run_name for cell in table.cells if cell.ours is not None}


def below(table: Table) -> dict[str, tuple[str, ...]]:
    return {other.run_name: other.differs for other in table.others}


def test_a_toy_run_does_not_replace_a_full_one() -> None:
    toy = final_run("toy", seeds=1, start=9, params={"budget.test_tasks": "300", "budget.tasks": "2000"})
    table = table_of(1, [toy, final_run("full")])
    assert in_cells(table) == {"LSTM 5-shot": "full"}
    less = ("test tasks 300, the cell's 2,000", "budget 2,000 tasks, the cell's 70,000 tasks", "seeds 1, the cell's 3")
    assert below(table) == {"toy": less}
    assert in_cells(table_of(1, [toy])) == {}


def test_a_final_run_of_what_the_paper_publishes_too_is_ours_because_a_sweep_has_picked_it() -> None:
    cell = table_of(1, [final_run("found", labels={"published": "published-sine-lstm"})]).cells[0]
    assert cell.ours is not None and cell.ours.run_name == "found" and cell.retrained is None


def test_the_paper_s_own_configuration_stands_beside_ours_and_never_in_its_place() -> None:
    theirs = {
        "labels": {"kind": "train", "published": "published-sine-lstm"},
        "scores": SCORES | {"final/test_loss": 0.01},
    }
    newest = final_run("theirs", seeds=5, start=9, **theirs)  # type: ignore[arg-type]
    fewer = final_run("fewer", seeds=3, start=8, **theirs)  # type: ignore[arg-type]
    toy = final_run("toy", seeds=1, start=7, **theirs)  # type: ignore[arg-type]
    table = table_of(1, [newest, fewer, toy, final_run("ours")])
    cell = table.cells[0]
    assert cell.ours is not None and cell.retrained is not None
    assert (cell.ours.run_name, cell.retrained.run_name, cell.retrained.value) == ("ours", "theirs", 0.01)
    assert below(table) == {
        "fewer": ("exact, but fewer seeds than theirs, which stands in the cell",),
        "toy": ("seeds 1, the cell's 3",),
    }
    assert cell.difference == pytest.approx(0.0391 - 0.0406), "of ours"
    alone = table_of(1, [newest])
    assert alone.cells[0].ours is None and "LSTM 5-shot" in alone.not_run
    row = next(csv.DictReader(io.StringIO(FORMATS["csv"](alone))))
    assert (row["retrained"], row["retrained seeds"], row["retrained by"], row["ours"]) == ("0.0100", "5", "theirs", "")


SAME = {"digest.code": "sha256:1"}
RESUMED = {"resume.1.version.oplstm": "0.1.0", "resume.1.mlflow.source.git.commit": "b" * 40}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"params": {"benchmark.queries": "10"}}, "queries 10, the cell's 50"),
        ({"params": {"budget.tasks": "None", "budget.updates": "17500"}}, None),
        ({"params": {"budget.tasks": "90000"}}, "budget 90,000 tasks, the cell's 70,000 tasks"),
        ({"params": {"budget.tasks": "None", "budget.updates": "1"}}, "budget 4 tasks, the cell's 70,000 tasks"),
        ({"seeds": 2}, "seeds 2, the cell's 3"),
        ({"seeds": 0}, "the runs of its seeds are not on the server"),
        ({"seeds": 5}, None),
        ({"params": {"meta_batch_size": "0"}}, "made by an older version: budget not recorded"),
        ({"params": {"budget.test_tasks": None}}, "made by an older version: test tasks not recorded"),
        (
            {"tags": {key: None for key in CODE}, "params": {"benchmark.queries": None}},
            "made by an older version: code version, queries not recorded",
        ),
        ({"of_seed": {1: {"mlflow.source.git.commit": "b" * 40}}}, f"code of 2 versions: {'a' * 12}, {'b' * 12}"),
        (
            {"of_seed": {2: {"resume.1.version.oplstm": "0.2.0", "resume.1.mlflow.source.git.commit": "unknown"}}},
            f"code of 2 versions: {'a' * 12}, oplstm 0.2.0",
        ),
        ({"tags": SAME, "of_seed": {2: {**RESUMED, "resume.1.digest.code": "sha256:1"}}}, None),
        (
            {"tags": SAME, "of_seed": {2: {**RESUMED, "resume.1.digest.code": "sha256:2"}}},
            f"code of 2 versions: {'a' * 12}, {'b' * 12}",
        ),
        (
            {"of_seed": {2: {**RESUMED, "resume.1.digest.code": "sha256:1"}}},
            f"code of 2 versions: {'a' * 12}, {'b' * 12}",
        ),
        ({"of_seed": {1: {"budget.test_tasks": "100"}}}, "seeds differ in test tasks: 100, 2,000"),
        (
            {"of_seed": {0: {"oplstm.budget_exhausted": "true"}}, "tasks_seen": 60_000.0},
            "budget not used up: 1 of 3 seeds ran out of hours after 60,000 tasks",
        ),
    ],
)
def test_whatever_defines_a_cell_of_table_1(change: dict[str, Any], differs: str | None) -> None:
    table = table_of(1, [final_run("ours", **change)])
    assert below(table) == ({} if differs is None else {"ours": (differs,)})
    assert in_cells(table) == ({"LSTM 5-shot": "ours"} if differs is None else {})


OP_LSTM = {"learner": "op_lstm", "mode": "", "shots": "1"}


def on_images(name: str = "ours", *, benchmark: str = "omniglot", **change: Any) -> FinalRun:
    own = {"benchmark.rotations": "False", "benchmark.inversion": "False"} if benchmark == "omniglot" else {}
    change["params"] = own | change.pop("params", {})
    change["tags"] = {"digest.split": OMNIGLOT} | change.pop("tags", {})
    change["labels"] = OP_LSTM | {"benchmark": benchmark} | change.pop("labels", {})
    return final_run(name, **change)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({}, None),
        ({"params": {"benchmark.test_queries": "queries"}}, None),
        ({"params": {"benchmark.queries": "5"}}, "queries 5, the cell's 15"),
        (
            {"params": {"benchmark.queries": "5", "benchmark.test_queries": "queries"}},
            ("queries 5, the cell's 15", "test queries 5, the cell's 15 or 1"),
        ),
        (
            {"params": {"benchmark.ways": "20"}},
            ("ways 20, the cell's 5", "train ways 20, the cell's 5"),
        ),
        ({"params": {"benchmark.train_ways": "60"}}, "train ways 60, the cell's 5"),
        ({"params": {"benchmark.train_shots": "5"}}, "train shots 5, the cell's 1"),
        ({"params": {"benchmark.rotations": "True"}}, "rotations True, the cell's False"),
        ({"params": {"benchmark.inversion": "True"}}, "inversion True, the cell's False"),
        ({"tags": {"digest.split": "f" * 64}}, f"split {'f' * 12}..., the cell's the published one"),
        (
            {"tags": {"oplstm.partial_dataset": "Omniglot, 5 of 1623 classes"}},
            "data Omniglot, 5 of 1623 classes, the cell's whole",
        ),
        ({"params": {"budget.updates": "22000"}}, "budget 22,000 updates, the cell's 80,000 updates"),
        ({"params": {"budget.updates": "None", "budget.tasks": "320000"}}, None),
    ],
)
def test_whatever_defines_a_cell_of_images(change: dict[str, Any], differs: str | tuple[str, ...] | None) -> None:
    table = table_of(2, [on_images(**change)])
    wanted = () if differs is None else (differs,) if isinstance(differs, str) else differs
    assert below(table) == ({"ours": wanted} if wanted else {})
    assert in_cells(table) == ({} if wanted else {"OP-LSTM 1-shot": "ours"})


def test_across_domains_both_splits_must_be_the_published_ones() -> None:
    from oplstm.episodes.datasets.class_lists import class_list

    splits = {name: class_list(name).split_digest for name in ("miniimagenet", "cub")}
    crossed = ACCURACIES | {"final/cross/cub/accuracy": 0.4, "final/cross/cub/ci95_tasks": 0.02}
    tags = {"digest.split": splits["miniimagenet"], "digest.split.cub": splits["cub"]}
    exact = on_images(benchmark="miniimagenet", scores=crossed, tags=tags)
    old = on_images("old", benchmark="miniimagenet", scores=crossed, tags={"digest.split": splits["miniimagenet"]})
    within, across = table_of(3, [exact, old]), table_of(4, [exact, old])
    assert in_cells(within) == {"OP-LSTM miniimagenet 1-shot": "ours"}
    assert below(within) == {"old": ("exact, but older than ours, which stands in the cell",)}
    [cell] = [cell for cell in across.cells if cell.ours is not None]
    assert (cell.name, cell.ours.value, cell.ours.ci95_tasks) == ("OP-LSTM miniimagenet -> cub 1-shot", 0.4, 0.02)
    assert below(across) == {"old": ("made by an older version: split of cub not recorded",)}


def test_the_best_documented_of_several_stands_in_the_cell() -> None:
    runs = [
        final_run("newest", start=3),
        final_run("five", seeds=5, start=2),
        final_run("unfinished", start=9, scores={"val/best": 0.1}),
        final_run("sequential", start=4, labels={"mode": "sequential"}),
        final_run("by-default", labels={"mode": ""}),
        final_run("thirty", labels={"shots": "30"}),
    ]
    table = table_of(1, sorted(runs, key=lambda run: -run.parent.start_ms))
    assert in_cells(table) == {"LSTM 5-shot": "five"}
    why = ("exact, but fewer seeds than five, which stands in the cell",)
    assert below(table) == {
        "newest": why,
        "by-default": why,
        "sequential": ("the table has no cell of sequential lstm 5-shot on sine",),
        "thirty": ("the table has no cell of lstm 30-shot on sine",),
    }
    assert in_cells(table_of(1, [final_run("newer", start=1), final_run("older")])) == {"LSTM 5-shot": "newer"}


def test_a_cell_says_what_it_took_and_whether_intervals_meet() -> None:
    def answer(value: float) -> str | None:
        return table_of(1, [final_run("ours", scores=SCORES | {"final/test_loss": value})]).cells[0].intervals_meet

    ours = table_of(1, [final_run("ours")]).cells[0].ours
    assert ours is not None
    assert (ours.budget, ours.parameters, ours.code) == ("70,000 tasks", 20_201, "a" * 12)
    assert ours.hours == pytest.approx(0.2)
    assert (ours.value, ours.ci95_tasks, ours.ci95_seeds, ours.seeds) == (0.0391, 0.0019, 0.0123, 3)
    assert [answer(value) for value in (0.0406, 0.0447, 0.0449, 0.056)] == ["yes", "yes", "over seeds", "no"]
    assert table_of(1, []).cells[0].intervals_meet is None
    alone = table_of(1, [final_run("ours", seeds=3, scores={"final/test_loss": 0.05})]).cells[0]
    assert alone.intervals_meet == "no" and alone.difference == pytest.approx(0.0094)


def test_of_a_training_whose_seeds_shared_their_tasks_older_versions_recorded_too_little() -> None:
    """They pooled these tasks as if they were different ones, and recorded no number of tasks: bounds are given."""
    met = {"digest.test_tasks": "same"}

    def half_widths(tags: dict[str, str | None], of_seed: dict[str, float], **more: float) -> tuple[float | None, ...]:
        made = final_run("old", tags=tags, scores=SCORES | more)
        seeds = (replace(seed, metrics={**seed.metrics, **of_seed}) for seed in made.seeds)
        ours = table_of(1, [replace(made, seeds=tuple(seeds))]).cells[0].ours
        assert ours is not None
        return ours.ci95_tasks, ours.ci95_seeds

    recorded = (0.0019, 0.0123)
    assert half_widths({}, {"test/ci95": 0.004}) == recorded
    assert half_widths({**met}, {"test/ci95": 0.004}, **{"final/tasks": 2000.0}) == recorded
    assert half_widths({**met}, {"test/ci95": 0.004}) == pytest.approx((0.004, (0.0123**2 + 0.004**2) ** 0.5))
    assert half_widths({**met}, {}) == (None, None)


def test_data_names_what_is_missing() -> None:
    data = table_of(1, [final_run("ours"), final_run("toy", seeds=1)]).to_dict()
    assert data["not_run"] == [f"{cell.method} {cell.shots}-shot" for cell in SINE_TABLE_1][1:]
    assert data["cells"][0]["ours"]["ci95_seeds"] == 0.0123 and data["cells"][1]["ours"] is None
    assert data["cells"][0]["difference"] == pytest.approx(0.0391 - 0.0406)
    assert data["cells"][0]["paper"]["value"] == 0.0406
    assert [other["differs"] for other in data["others"]] == [["seeds 1, the cell's 3"]]
    assert {cell.task for cell in ACROSS_TABLE_4 if cell.shots == 1} == {
        "miniimagenet -> cub 1-shot",
        "cub -> miniimagenet 1-shot",
    }


def test_formats_hold_the_same_figures_and_escape_what_others_wrote() -> None:
    table = table_of(1, [final_run("a_b|50% & <c>"), final_run("to\ny", seeds=1)])
    made = {name: form(table) for name, form in FORMATS.items()}
    assert made == {name: form(table_of(1, [final_run("a_b|50% & <c>"), final_run("to\ny", seeds=1)]))
                    for name, form in FORMATS.items()}  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(made["csv"])))
    assert len(rows) == 10
    assert (rows[0]["ours"], rows[0]["± seeds"], rows[0]["difference"]) == ("0.0391", "0.0123", "-0.0015")
    told = (rows[0]["final run"], rows[0]["hours a seed"], rows[0]["parameters"], rows[0]["budget"])
    assert told == ("a_b|50% & <c>", "0.2", "20201", "70,000 tasks")
    assert (rows[9]["final run"], rows[9]["differs"]) == ("to\ny", "seeds 1, the cell's 3")
    [row] = [line for line in made["markdown"].splitlines() if "0.0391" in line and line.startswith("|")]
    assert r"a\_b\|50% & \<c\>" in row and row.replace(r"\|", "").count("|") == len(COLUMNS) + 1
    assert "- to y (lstm 5-shot on sine, 0.0391): seeds 1, the cell's 3" in made["markdown"]
    body = made["latex"].split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.count(r"\\") == 9 and {line.count("&") for line in body.splitlines() if line} == {len(COLUMNS) - 6}
    assert all(line.startswith("%") for line in made["latex"].split(r"\end{tabular}")[1].splitlines() if line)
    assert r"miniimagenet $\to$ cub 1-shot" in FORMATS["latex"](table_of(4, []))


def tracked(run: FinalRun, experiment: str) -> list[list[Any]]:
    """The records that make such a final run on a server."""

    def record(of: Any, parent: str | None, start: float) -> records.CreateRun:
        kind = {"oplstm.kind": run.parent.tags["oplstm.kind"] + ("" if parent is None else "-trial")}
        return records.CreateRun(
            f"{experiment}/{of.run_id}", name=of.name, parent_key=parent, experiment=experiment,
            tags={**of.tags, **kind}, params=dict(of.params), start_time=start,
        )  # fmt: skip

    parent = f"{experiment}/{run.parent.run_id}"
    groups: list[list[Any]] = []
    for of in (run.parent, *run.seeds):
        start = run.parent.start_ms / 1000 if of is run.parent else START
        points = records.Points(f"{experiment}/{of.run_id}", step=1, metrics=dict(of.metrics), timestamp=START)
        groups.append([record(of, None if of is run.parent else parent, start), points])
    return groups


@pytest.mark.integration
def test_tables_are_made_of_what_the_server_holds(rest: Rest, journal_path: Path, unique: str) -> None:
    runs = [
        final_run("full", start=1),
        final_run("toy", seeds=1, start=2, params={"budget.test_tasks": "300"}),
        final_run("other-shots", labels={"shots": "10"}, params={"benchmark.shots": "10"}),
        on_images("images"),
    ]
    trainings = [final_run(name, labels={"kind": "train"}, start=5) for name in ("theirs", "by-hand", "another")]
    with Journal(journal_path) as journal:
        for group in (group for run in runs for group in tracked(run, unique)):
            write(journal, *group)
        for training, published in zip(trainings, ({"oplstm.published": "published-sine-lstm"}, {}, {}), strict=True):
            (create, points), *of_seeds = tracked(training, unique)
            write(journal, replace(create, tags={**create.tags, **published}), points)
            for group in of_seeds:
                write(journal, *group)
        create, points = tracked(final_run("a-sweep", start=9), unique)[0]
        write(journal, replace(create, tags={**create.tags, "oplstm.kind": "sweep"}), points)
    with Outbox(journal_path, rest.uri) as outbox:
        assert outbox.flush(60) == 0, outbox.last_error
    client = connect(rest.uri)
    toy = {"toy": ("test tasks 300, the cell's 2,000", "seeds 1, the cell's 3")}
    for experiments in ([rest.experiment_id(unique)], None):
        table = table_of(1, runs_of(client, 1, experiments))
        assert in_cells(table) == {"LSTM 5-shot": "full", "LSTM 10-shot": "other-shots"}
        assert [cell.retrained.run_name for cell in table.cells if cell.retrained is not None] == ["theirs"]
        others = below(table).keys() - toy.keys() if experiments is None else set()  # of other tests on this server
        assert {name: differs for name, differs in below(table).items() if name not in others} == toy
    assert in_cells(table_of(2, runs_of(client, 2, [rest.experiment_id(unique)]))) == {"OP-LSTM 1-shot": "images"}
    table = table_of(1, runs_of(client, 1, [rest.experiment_id(unique)], also=["by-hand"]))
    assert below(table) == {"by-hand": ("its configuration was chosen by hand",)} | toy
    assert in_cells(table) == {"LSTM 5-shot": "full", "LSTM 10-shot": "other-shots"}
    with pytest.raises(RequestError, match="no tested training 'images' on sine is on the server"):
        runs_of(client, 1, [rest.experiment_id(unique)], also=["images"])
