"""The benchmark: what it measures by hand on a clock of its own, and the command with all its sections."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from oplstm.episodes.images import OmniglotTasks
from oplstm.training.machine.memory import predicted_memory
from tests.benchmark import __main__ as command
from tests.benchmark import comparison, growth, images, measuring, mixed, ragged, sine
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting
from tests.benchmark.tables import table
from tests.oplstm.episodes.datasets.made_up import imported

SHARES = {"sampling": 0.01, "validation_seconds": 2.0, "validation": 0.2}


class Clock:
    """Processor time that passes only where a contender says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(measuring.time, "process_time", lambda: self.now)

    def contender(self, seconds, **attributes):
        def step():
            self.now += seconds

        return SimpleNamespace(step=step, **attributes)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def bench(seconds=7.0):
    return Bench(seconds=seconds, progress=lambda _: None)


def test_a_burst_lasts_its_seconds_and_is_one_call_at_least(clock):
    assert bench().burst(clock.contender(0.25).step, 1.0) == (4, 1.0)
    assert bench().burst(clock.contender(3.0).step, 1.0) == (1, 3.0)
    assert bench().burst(clock.contender(0.25).step, 1.0).per_call == 0.25


def test_contenders_take_turns_until_they_have_had_their_time(clock):
    turns = bench(7.0).take_turns({"quick": clock.contender(0.5), "slow": clock.contender(4.0)})
    assert turns == {"quick": [0.5] * 7, "slow": [4.0, 4.0]}


@pytest.mark.slow
def test_the_memory_of_a_contender_is_the_most_that_it_adds():
    def contender():
        held = torch.ones(16 << 20)  # 64 MiB
        return SimpleNamespace(step=lambda: torch.zeros(16 << 20).add_(held))

    _, peak = bench().warmed_up(contender)
    if peak is None:
        pytest.skip("this system does not tell the highest mark of a process")
    assert 120 < peak < 160


@pytest.mark.parametrize(
    ("measured", "predicted"),
    [
        ({}, None),
        ({1: None}, None),
        ({1: 10.0}, 640.0),
        ({1: 10.0, 8: 24.0}, 136.0),
        ({1: 99.0, 8: 24.0, 16: 40.0}, 136.0),  # on the line through the two largest
        ({1: 10.0, 8: 9.0}, 9.0),  # no less than what was measured
    ],
)
def test_the_memory_of_a_pack_is_predicted_from_the_smaller_ones(measured, predicted):
    assert predicted_memory(measured, 64) == predicted


@pytest.fixture
def by_hand(clock, monkeypatch):
    """The LSTM on sine, B = 4: 1 s an update with nn.LSTM, half with nn.LSTMCell, an eighth in packs of 1 and 2."""
    kinds = {"nn.LSTM": 1.0, "nn.LSTMCell": 0.5}
    monkeypatch.setattr(Setting, "baseline", lambda self, kind, place: clock.contender(kinds[kind]))
    monkeypatch.setattr(Setting, "pack", lambda self, size, place: clock.contender(0.125 * max(1, size / 2), size=size))
    monkeypatch.setattr(comparison, "_shares", lambda *_, **__: SHARES)
    monkeypatch.setattr(Bench, "warmed_up", lambda self, make: ((made := make()), 10.0 * getattr(made, "size", 2)))
    return replace(sine.LSTM, expected={1: 400})


def test_rates_and_ratios_by_hand(by_hand):
    own = {"learner": "lstm", "convention": "authors"}
    first, second, alone, pair = comparison.compare(by_hand, [2, 1], bench())
    rate = {"tasks_per_second": 4.0, "over_baseline": 1.0, "over_lstm_cell": 0.5, "ms_per_update": 1000.0}
    assert first == comparison.Row(**own, contender="nn.LSTM", **rate, peak_mib=20.0)
    rate = {"tasks_per_second": 8.0, "over_baseline": 2.0, "over_lstm_cell": 1.0, "ms_per_update": 500.0}
    assert second == comparison.Row(**own, contender="nn.LSTMCell", **rate, peak_mib=20.0)
    rate = {"tasks_per_second": 32.0, "over_baseline": 8.0, "over_lstm_cell": 4.0, "ms_per_update": 125.0}
    rest = {"peak_mib": 10.0, "expected": 400, "over_alone": 1.0, **SHARES}
    assert alone == comparison.Row(**own, contender="pack of 1", **rate, **rest)
    rate |= {"tasks_per_second": 64.0, "over_baseline": 16.0, "over_lstm_cell": 8.0}
    rest |= {"peak_mib": 20.0, "expected": None, "over_alone": 2.0}
    assert pair == comparison.Row(**own, contender="pack of 2", **rate, **rest)


def test_what_is_not_training_is_only_measured_where_it_is_asked_for(by_hand):
    rows = comparison.compare(by_hand, [1], bench(), shares=False)
    assert [(row.over_alone, row.sampling, row.validation) for row in rows] == [(None,) * 3] * 2 + [(1.0, None, None)]


def test_a_pack_that_would_not_fit_is_left_out_and_says_why(by_hand, monkeypatch):
    monkeypatch.setattr(Bench, "free_mib", lambda self: 600.0)
    rows = comparison.compare(by_hand, [1, 8, 64], bench())
    assert [row.contender for row in rows] == ["nn.LSTM", "nn.LSTMCell", "pack of 1", "pack of 8", "pack of 64"]
    assert [row.note for row in rows] == [None] * 4 + ["left out: 640 MiB wanted, 600 there"]
    assert rows[-1].tasks_per_second is None


@pytest.mark.parametrize(
    ("per_task", "counts"),
    [(3.0, [1]), (0.25, [1, 4]), (0.0, [1, 4, 16, 20])],
    ids=["the first", "a second sample", "all"],
)
def test_a_validation_is_timed_on_as_many_tasks_as_it_takes(clock, monkeypatch, per_task, counts):
    made = []

    def pack(self, size, place, validation_tasks):
        made.append(validation_tasks)
        return SimpleNamespace(validation_scores=clock.contender(per_task * validation_tasks).step)

    monkeypatch.setattr(Setting, "pack", pack)
    setting = replace(sine.LSTM, budget={**sine.BUDGET, "validation_tasks": 20})
    assert comparison.validation_seconds(setting, 1, first=0, bench=bench(1.2)) == 20 * per_task
    assert made == counts


def test_a_validation_of_a_large_pack_is_timed_on_the_runs_evaluated_at_once(clock, monkeypatch):
    made = []

    def pack(self, size, place, validation_tasks):
        made.append((size, validation_tasks))
        return SimpleNamespace(validation_scores=clock.contender(0.5 * size * validation_tasks).step)

    monkeypatch.setattr(Setting, "pack", pack)
    seconds = comparison.validation_seconds(sine.LSTM, 64, first=2, bench=bench(1.2))
    assert made == [(8, 16)]
    assert seconds == 0.5 * 64 * sine.LSTM.validation_tasks


@pytest.mark.parametrize(
    ("factor", "value", "changed"),
    [
        ("R", 3, ((40, 40), 4, 4, 3)),
        ("B", 7, ((40, 40), 4, 7, 1)),
        ("T", 2, ((40, 40), 2, 4, 1)),
        ("widths", [5], ((5,), 4, 4, 1)),
    ],
)
def test_one_factor_grows(factor, value, changed):
    setting, size = growth.at(sine.LSTM, factor, value)
    run = setting.run()
    assert (run.hyperparameters.widths, run.hyperparameters.passes, run.meta_batch_size, size) == changed
    widths = growth.at(sine.OP_LSTM, "widths", [5])[0].run().hyperparameters
    assert (widths.base_widths, widths.cells) == ((5,), (5, 5, 1))


def test_growth_by_hand(clock, monkeypatch):
    monkeypatch.setattr(Setting, "pack", lambda self, size, place: clock.contender(0.5 + 0.5 * self.meta_batch_size))
    one, four, nine = growth.grow(sine.LSTM, factor="B", values=[1, 4, 9], bench=bench())
    assert [row.value for row in (one, four, nine)] == ["1", "4", "9"]
    assert [row.ms_per_update for row in (one, four, nine)] == [1000.0, 2500.0, 5000.0]
    assert [row.tasks_per_second for row in (one, four, nine)] == [1.0, 1.6, 1.8]
    assert [row.over_published for row in (one, four, nine)] == [0.625, 1.0, pytest.approx(1.125)]


def test_every_growth_starts_from_its_published_point():
    for setting, factors in growth.POINTS:
        for factor, values in {"R": growth.RUNS, **factors}.items():
            assert [growth.at(setting, factor, value) for value in values].count((setting, 1)) == 1


def test_a_table_is_markdown_and_leaves_out_what_nobody_measured():
    rows = [
        {"learner": "a|b", "sampling": 0.125, "ms_per_update": 1234.5, "note": None},
        {"learner": "c", "sampling": None, "ms_per_update": 0.01234, "note": None},
    ]
    assert table("figures", rows).splitlines() == [
        "### figures",
        "",
        "| learner | sampling | ms an update |",
        "| ------- | -------: | -----------: |",
        r"| a\|b    |   12.5 % |        1,234 |",
        "| c       |          |       0.0123 |",
    ]


@pytest.mark.integration
def test_noise_has_the_classes_of_the_dataset(tmp_path):
    images.random_pixels("omniglot", tmp_path)
    dataset = OmniglotTasks().open(tmp_path).dataset
    assert {split: len(classes) for split, classes in dataset.splits.items()} == {
        "train": 1028,
        "val": 172,
        "test": 423,
    }
    assert dataset.pixels.shape == (32_460, 28, 28, 1)
    assert dataset.partial


@pytest.fixture
def small(monkeypatch):
    """Every section with tiny networks, tasks and data, in two rounds."""
    whole, lstm = images.settings, sine.LSTM.shrunk()
    monkeypatch.setattr(sine, "SETTINGS", [setting.shrunk() for setting in sine.SETTINGS])
    monkeypatch.setattr(sine, "PACKS", (1, 2))
    monkeypatch.setattr(images, "settings", lambda *arguments: [setting.shrunk() for setting in whole(*arguments)])
    monkeypatch.setattr(images, "OMNIGLOT_PACKS", (1, 2))
    monkeypatch.setattr(images, "CONV4_PACKS", (1,))
    monkeypatch.setattr(images, "random_pixels", lambda name, data, images: imported(name, data))
    monkeypatch.setattr(growth, "POINTS", [(lstm, {"B": (1, 4), "T": (2, 3), "widths": ([4], [6])})])
    monkeypatch.setattr(growth, "RUNS", (1, 2))
    monkeypatch.setattr(measuring, "ROUNDS", 2)
    monkeypatch.setattr(measuring, "WARM_UPS", 1)
    monkeypatch.setattr(measuring, "give_back_freed", lambda device: None)
    monkeypatch.setattr(command, "keep_freed_memory", lambda: True)  # would hold for the tests after this one
    rows = [{"what": "a sweep", "seconds": 1.5}]
    for name, title in (
        ("orchestration", "Orchestration"),
        ("orchestration.sweeps", "Sweeps"),
        ("orchestration.pages", "Pages"),
    ):
        faked = SimpleNamespace(sections=lambda bench, title=title: [(title, rows)])
        monkeypatch.setitem(sys.modules, f"tests.benchmark.{name}", faked)
    monkeypatch.setattr(mixed, "RUNS", 3)


@pytest.mark.long
@pytest.mark.usefixtures("small")
def test_the_command_measures_every_section(tmp_path):
    file = tmp_path / "figures.json"
    options = ["--json", str(file), "--seconds", "0.01"]
    done = CliRunner().invoke(command.main, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    assert document["version"] == command.VERSION
    assert document["machine"]["threads"] == 1
    rows = {}
    for one in document["tables"]:
        rows.setdefault(one["section"], []).extend(one["rows"])
        assert one["title"].split(",")[0] in done.output
    assert list(rows) == list(command.SECTIONS)

    def contenders(section):
        return [(row["learner"], row["contender"]) for row in rows[section] if "contender" in row]

    usual, packs = ["nn.LSTM", "nn.LSTMCell"], ["pack of 1", "pack of 2"]
    learners = [setting.learner for setting in sine.SETTINGS]
    assert contenders("sine") == [
        (learner, name) for learner in learners for name in (["loop"] if learner == "maml" else usual) + packs
    ]
    learners = ["op_lstm", "protonet", "maml", "lstm"]
    assert contenders("omniglot") == [
        (learner, name) for learner in learners for name in (usual if "lstm" in learner else ["loop"]) + packs
    ]
    assert contenders("conv4") == [
        (learner, name) for learner in learners for name in ("nn.LSTM" if "lstm" in learner else "loop", "pack of 1")
    ]
    for row in rows["sine"] + rows["omniglot"]:
        assert row["tasks_per_second"] > 0
        assert ("pack" in row["contender"]) == (row["sampling"] is not None) == (row["validation"] is not None)
    assert [(row["factor"], row["value"]) for row in rows["growth"]] == [
        ("R", "1"), ("R", "2"), ("B", "1"), ("B", "4"), ("T", "2"), ("T", "3"), ("widths", "4"), ("widths", "6"),
    ]  # fmt: skip
    assert rows["orchestration"] == [{"what": "a sweep", "seconds": 1.5}]


@pytest.mark.integration
@pytest.mark.usefixtures("small")
def test_the_command_measures_the_sections_and_packs_that_are_asked_for(tmp_path):
    file = tmp_path / "figures.json"
    options = ["--json", str(file), "--seconds", "0.01", "--only", "sine", "--packs", "3,1,3"]
    done = CliRunner().invoke(command.main, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (only,) = json.loads(file.read_text())["tables"]
    assert [row["contender"] for row in only["rows"]][:4] == ["nn.LSTM", "nn.LSTMCell", "pack of 1", "pack of 3"]
    assert all(row["validation_seconds"] > 0 for row in only["rows"] if "pack" in row["contender"])


@pytest.mark.parametrize("packs", ["0", "1,x", "", "-3"])
def test_impossible_packs_are_refused(packs):
    done = CliRunner().invoke(command.main, ["--packs", packs])
    assert done.exit_code == 2
    assert "whole numbers >= 1" in done.output


def test_unknown_sections_are_refused():
    done = CliRunner().invoke(command.main, ["--only", "sine,cosine"])
    assert done.exit_code == 2
    sections = "sine, omniglot, conv4, growth, ragged, orchestration, sweep, pages"
    assert f"sections are {sections}, got 'cosine'" in done.output


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = CliRunner().invoke(command.main, ["--device", "cuda"])
    assert done.exit_code == 2
    assert "PyTorch finds no GPU here" in done.output


def test_every_run_of_the_ragged_grid_is_in_every_arrangement_once():
    runs = ragged.grid(sine.LSTM, (2, 3), (1, 2))
    assert [(run.meta_batch_size, run.hyperparameters.passes) for run in runs] == [(1, 2), (1, 3), (2, 2), (2, 3)]
    made = ragged.arrangements(runs, Bench())
    assert {name: sorted(len(pack.runs) for pack in each._packs) for name, each in made.items()} == {
        "one by one": [1, 1, 1, 1],
        "a pack a meta-batch size": [2, 2],
        "one pack": [4],
    }
    for each in made.values():
        each.step()
        assert sorted(int(name) for pack in each._packs for name in pack.names) == [0, 1, 2, 3]
        assert {pack.update for pack in each._packs} == {1}
