"""The baselines compute what our learners compute, and the benchmark reports all contenders."""

import json
from dataclasses import replace
from typing import get_args

import pytest
import torch
from click.testing import CliRunner

from jobs import benchmark
from jobs.baseline import BaselineLSTM, BaselineOPLSTM, BaselineTraining, Kind
from jobs.benchmark import SETTINGS, Row, Setting, added_memory, main, measure, seconds_per_call
from oplstm.episodes.sine import SineTasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.lstm import LSTMConfig
from oplstm.learners.op_lstm import OPLSTMConfig
from oplstm.training.evaluation import training_loss
from oplstm.training.pack import Device, Pack
from oplstm.training.run import Budget, RunConfig

MODELS = {"lstm": (LSTMConfig, BaselineLSTM), "op_lstm": (OPLSTMConfig, BaselineOPLSTM)}
SIZES = {
    "lstm": [{"widths": (40, 40), "passes": 4}, {"widths": (7,), "passes": 2}],
    "op_lstm": [{"base_widths": (9, 8, 7), "cells": (5, 5, 1), "passes": 4}, {"base_widths": (6,), "cells": (1,)}],
}
CASES = [
    pytest.param(learner, convention, kind, sizes, id=f"{learner}-{convention}-{kind}-{number}")
    for learner in MODELS
    for convention in ("paper", "authors")
    for kind in get_args(Kind)
    for number, sizes in enumerate(SIZES[learner])
]


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("learner", "convention", "kind", "sizes"), CASES)
@pytest.mark.usefixtures("double")
def test_a_baseline_trains_as_our_learner_does(learner, convention, kind, sizes):
    config_class, model_class = MODELS[learner]
    config = config_class(**config_class.conventions[convention] | sizes)
    run = RunConfig(
        learner=learner,
        hyperparameters=config,
        benchmark=SineTasks(shots=5, queries=12),
        meta_batch_size=3,
        lr=0.01,
        budget=Budget(updates=10, validate_every=5),
        seed=3,
        evaluation_seed=0,
    )
    pack = Pack([run], ["r"], Device(dtype=torch.float64))
    params = {name: value[0].clone() for name, value in pack.layout.views(pack.state.weights).items()}
    model = model_class(config, kind)
    model.load(params)
    stream = TaskStream(run.benchmark, run.seed, Split.TRAIN, torch.float64)
    baseline = BaselineTraining(model, stream, meta_batch_size=3, lr=0.01)
    for update in range(3):
        batch = TaskStream(run.benchmark, run.seed, Split.TRAIN, torch.float64).batch(update, 3)
        ours = training_loss(pack.learner, pack.params(pack.state.weights), batch).item()
        assert baseline.step() == pytest.approx(ours, rel=1e-8)
        pack.step()


def test_the_settings_are_the_published_configurations():
    lstm, op_lstm = SETTINGS[0].run(), SETTINGS[2].run()
    assert (lstm.hyperparameters.widths, lstm.hyperparameters.passes, lstm.meta_batch_size) == ((40, 40), 4, 4)
    assert (op_lstm.hyperparameters.base_widths, op_lstm.hyperparameters.cells) == ((91, 91, 91), (5, 5, 1))
    assert (op_lstm.hyperparameters.passes, op_lstm.meta_batch_size) == (9, 1)
    assert (lstm.lr, op_lstm.lr) == (0.004674, 0.001045)
    assert [(s.learner, s.convention) for s in SETTINGS] == [
        ("lstm", "authors"),
        ("lstm", "paper"),
        ("op_lstm", "authors"),
        ("op_lstm", "paper"),
    ]


class Clock:
    """Processor time that passes only where a contender says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(benchmark.time, "process_time", lambda: self.now)

    def step(self, seconds):
        def step():
            self.now += seconds

        return step


def test_seconds_per_call(monkeypatch):
    clock = Clock(monkeypatch)
    assert seconds_per_call(clock.step(0.25), 1.0) == 0.25
    assert seconds_per_call(clock.step(3.0), 1.0) == 3.0  # at least once


def test_rates_and_ratios_by_hand(monkeypatch):
    clock = Clock(monkeypatch)
    setting = replace(SETTINGS[0], expected={1: 3.5})
    kinds = {"LSTMCell": 0.5, "LSTM": 1.0}
    monkeypatch.setattr(Setting, "baseline", lambda self, kind: type("B", (), {"step": clock.step(kinds[kind])}))
    monkeypatch.setattr(Setting, "pack", lambda self, size: type("P", (), {"step": clock.step(0.125 * size)}))
    monkeypatch.setattr(benchmark, "_shares", lambda *_: (0.01, 0.2))
    shares = {"sampling": 0.01, "validation": 0.2}
    assert measure(setting, [1, 2], 7.0) == [
        Row("lstm", "authors", "nn.LSTMCell", 8.0, 1.0, 2.0, None, 500.0),
        Row("lstm", "authors", "nn.LSTM", 4.0, 0.5, 1.0, None, 1000.0),
        Row("lstm", "authors", "pack of 1", 32.0, 4.0, 8.0, 3.5, 125.0, **shares),
        Row("lstm", "authors", "pack of 2", 32.0, 4.0, 8.0, None, 250.0, **shares),
    ]


def test_added_memory_is_what_a_contender_holds():
    def make():
        held = torch.ones(16 << 20)  # 64 MiB
        return lambda: held.sum()

    added = added_memory(make)
    if added is None:
        pytest.skip("this system does not tell the highest mark of a process")
    assert 60 < added < 100


@pytest.mark.integration
def test_the_command_reports_every_contender(tmp_path, monkeypatch):
    small = {"lstm": {"widths": (4,), "passes": 2}, "op_lstm": {"base_widths": (4,), "cells": (2, 1), "passes": 2}}
    run = Setting.run

    def shrunk(self, seed=0):
        whole = run(self, seed)
        return replace(whole, hyperparameters=replace(whole.hyperparameters, **small[self.learner]))

    monkeypatch.setattr(Setting, "run", shrunk)
    monkeypatch.setattr(benchmark, "ROUNDS", 2)
    monkeypatch.setattr(benchmark, "VALIDATION_TASKS", 20)
    monkeypatch.setattr(benchmark, "keep_freed_memory", lambda: True)  # would hold for the tests after this one
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(main, ["--json", str(file), "--seconds", "0.01", "--packs", "2,1,2"])
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    assert document["version"] == 1
    assert document["machine"]["threads"] == 1
    contenders = [(row["learner"], row["convention"], row["contender"]) for row in document["rows"]]
    wanted = ["nn.LSTMCell", "nn.LSTM", "pack of 1", "pack of 2"]
    assert contenders == [(s.learner, s.convention, name) for s in SETTINGS for name in wanted]
    for row in document["rows"]:
        assert row["tasks_per_second"] > 0
        assert ("pack" in row["contender"]) == (row["sampling"] is not None)
    assert "pack of 2" in done.output


@pytest.mark.parametrize("packs", ["0", "1,x", "", "-3"])
def test_impossible_packs_are_refused(packs):
    done = CliRunner().invoke(main, ["--packs", packs])
    assert done.exit_code == 2
    assert "whole numbers >= 1" in done.output
