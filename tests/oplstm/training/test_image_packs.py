"""Packs on images: each run is what it would be alone, resumes to the bit, and way and shot may differ in training."""

from dataclasses import replace

import pytest
import torch

from oplstm.configuration import Problems
from oplstm.nets import backbone
from oplstm.testing.recorder import Recorder
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.run import build_run
from tests.oplstm.episodes.datasets.made_up import imported
from tests.oplstm.training.runs import next_tasks

pytestmark = pytest.mark.integration

FLAT = {"base_widths": [5, 4], "batch_norm": True}
LEARNERS = {
    "lstm": {"widths": [6, 4], "passes": 2},
    "lstm-conv4": {"widths": [6], "passes": 2, "backbone": "conv4", "support": "sequential"},
    "op_lstm": {**FLAT, "cells": [2, 1], "passes": 2},
    "op_lstm-authors": {**FLAT, "cells": [2, 1], "passes": 2, "convention": "authors"},
    "op_lstm-conv4": {"backbone": "conv4", "base_widths": [], "cells": [2, 1], "passes": 2},
    "maml": {**FLAT, "passes": 2},
    "protonet": FLAT,
    "protonet-conv4": {"backbone": "conv4", "base_widths": []},
    "warp_maml": {"passes": 2},
    "sap": {"passes": 1, "eval_passes": 2},
}
REAL = {"maml": "inner_lr", "warp_maml": "inner_lr", "sap": "inner_lr", "op_lstm": "gamma"}
BENCHMARK = {"name": "omniglot", "ways": 2, "shots": 1, "queries": 1}
BUDGET = {"updates": 4, "validate_every": 2, "validation_tasks": 5, "test_tasks": 5}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    imported("omniglot", folder)
    return folder


@pytest.fixture(autouse=True)
def _few_maps(monkeypatch):
    monkeypatch.setattr(backbone, "MAPS", 3)


def problems_and_run(learner, seed=0, benchmark=BENCHMARK, **changes):
    problems = Problems()
    data = {
        "learner": learner.partition("-")[0],
        "hyperparameters": LEARNERS[learner] | changes,
        "benchmark": benchmark,
        "budget": BUDGET,
        "meta_batch_size": 2,
        "lr": 1e-3 * (seed + 1),
        "seed": seed,
        "evaluation_seed": 7,
    }
    return problems, build_run(data, problems)


def run(learner, seed=0, **changes):
    problems, built = problems_and_run(learner, seed, **changes)
    assert built is not None, problems.lines()
    return built


def different(learner, count=3):
    """Runs that differ in seed, rate and the learner's own real-valued hyperparameter."""
    real = REAL.get(learner.partition("-")[0])
    return [run(learner, seed, **({real: 0.02 * (seed + 1)} if real else {})) for seed in range(count)]


def trained(runs, updates, data):
    pack = Pack(runs, [str(i) for i in range(len(runs))], Device(dtype=torch.float64, data=data))
    for _ in range(updates):
        pack.step()
    return pack


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_pack_equals_its_single_runs(learner, data):
    runs = different(learner)
    for updates, tolerance in ((1, 1e-12), (4, 1e-9)):
        packed = trained(runs, updates, data)
        scores = packed.validation_scores()
        for row, single in enumerate(runs):
            alone = trained([single], updates, data)
            error = (packed.state.weights[row] - alone.state.weights[0]).norm() / alone.state.weights[0].norm()
            assert error <= tolerance, f"run {row} after {updates}: {error:.1e}"
            torch.testing.assert_close(scores["loss"][row], alone.validation_scores()["loss"][0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("learner", ["op_lstm", "maml", "protonet-conv4"])
def test_stopped_and_resumed_is_never_stopped(learner, data, tmp_path):
    def train(folder, listener):
        pack = Pack(different(learner), ["a", "b", "c"], Device(data=data))
        Trainer(pack, listener, folder=folder / "pack", run_folder=folder / "runs").train()
        return {path.name: path.read_bytes() for path in sorted((folder / "runs").rglob("*.safetensors"))}

    whole = train(tmp_path / "whole", Recorder())
    train(tmp_path / "parts", Recorder(stop_at=3))
    assert train(tmp_path / "parts", Recorder()) == whole
    assert len(whole) == 3


def test_prototypes_may_train_with_more_ways_than_they_are_tested_with(data):
    wide = BENCHMARK | {"train_ways": 6, "rotations": True}
    pack = trained([run("protonet", benchmark=wide)], 1, data)
    assert next_tasks(pack).support_x.shape == (1, 2, 6)
    assert pack.validation_scores()["accuracy"].shape == (1, 5)
    problems, built = problems_and_run("op_lstm", benchmark=wide)
    assert built is None
    assert problems.lines() == ["benchmark.train_ways: op_lstm has one output a class: leave it out"]


def test_accuracy_selects_and_is_tested(data, tmp_path):
    listener = Recorder()
    pack = Pack([run("protonet")], ["a"], Device(data=data))
    Trainer(pack, listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    accuracy = [point.metrics["val/accuracy"] for point in listener.points]
    end = listener.ends["a"]
    assert end.metrics["val/best"] == max(accuracy)
    assert end.best_update == [point.update for point in listener.points][accuracy.index(max(accuracy))]
    assert set(end.metrics) == {"val/best", "test/loss", "test/accuracy", "test/ci95"}


@pytest.mark.parametrize("learner", LEARNERS)
def test_an_update_reads_nothing_back_from_the_device(learner, data):
    built = problems_and_run(learner, benchmark=BENCHMARK | {"rotations": True, "inversion": True})[1]
    pack = Pack([built, replace(built, seed=1)], ["a", "b"], Device(torch.device("meta"), data=data))
    pack.step()  # see test_captured.py
    assert pack.state.weights.is_meta


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_pack_in_bf16_trains_roughly_as_one_in_float32(learner, data):
    built = problems_and_run(learner)[1]
    exact, few_bits = (
        Pack([replace(built, precision=precision)], ["a"], Device(data=data)) for precision in ("float32", "bf16")
    )
    for pack in (exact, few_bits):
        pack.step()
    assert not torch.equal(few_bits.state.loss_sum, exact.state.loss_sum)
    torch.testing.assert_close(few_bits.state.loss_sum, exact.state.loss_sum, rtol=0.1, atol=0)


@pytest.mark.parametrize("learner", LEARNERS)
def test_repeated_updates_are_those_made_anew_to_the_bit(learner, data):
    runs = [run(learner, seed) for seed in range(2)]
    repeated, anew = (Pack(runs, ["a", "b"], Device(data=data, capture=capture)) for capture in (True, False))
    for _ in range(6):
        repeated.step()
        anew.step()
    assert repeated.meta_update._captured._repeated is not None, "nothing was repeated: the test shows nothing"
    for name, tensor in anew.state.tensors().items():
        assert torch.equal(repeated.state.tensors()[name], tensor), name
