"""In float64 the baselines train as our learners do: what the benchmark compares computes the same."""

from dataclasses import replace

import pytest
import torch

from oplstm.training.device import Device
from oplstm.training.pack import Pack
from tests.benchmark import images, sine
from tests.benchmark.settings import Setting
from tests.oplstm.episodes.datasets.made_up import imported

pytestmark = pytest.mark.integration

SINE = {"name": "sine", "shots": 5, "queries": 12}
OMNIGLOT = {"name": "omniglot", "ways": 2, "shots": 1, "queries": 2}
CONSTANTS = {"lstm": {}, "op_lstm": {"gamma": 2**-3}, "maml": {"inner_lr": 2**-6}, "protonet": {}}
"""Exact in float32, as which a learner gives them to its pack."""
FLAT = {"base_widths": [9, 8], "batch_norm": True}
SMALL = {
    "lstm": [{"widths": [7], "passes": 2}],
    "op_lstm": [
        {"base_widths": [9, 8, 7], "cells": [5, 5, 1], "passes": 4},
        {"base_widths": [6], "cells": [1], "passes": 3},
        {"base_widths": [6], "cells": [3, 1], "passes": 3, "normalisation": "none", "second_order": False},
    ],
    "maml": [{"base_widths": [9, 8], "passes": 3}],
}
ON_IMAGES = {
    "lstm": [{"widths": [8], "passes": 3}, {"backbone": "conv4", "widths": [6], "passes": 2}],
    "op_lstm": [
        FLAT | {"cells": [5, 1], "passes": 3},
        {"backbone": "conv4", "base_widths": [], "cells": [4, 1], "passes": 2},
    ],
    "maml": [
        FLAT | {"passes": 2},
        {"backbone": "conv4", "base_widths": [], "passes": 2},
    ],
    "protonet": [FLAT, {"backbone": "conv4", "base_widths": []}],
}


def settings():
    for benchmark, sizes in ((SINE, SMALL), (OMNIGLOT, ON_IMAGES)):
        for learner, several in sizes.items():
            for number, hyperparameters in enumerate(several):
                for convention in ("authors", "paper"):
                    setting = Setting(
                        learner=learner,
                        hyperparameters={**hyperparameters, **CONSTANTS[learner], "convention": convention},
                        benchmark=benchmark,
                        meta_batch_size=3,
                        lr=0.01,
                        grad_clip=0.05 if learner == "maml" else None,
                        budget={"updates": 10, "validate_every": 5},
                    )
                    for kind in setting.baselines:
                        name = f"{learner}-{benchmark['name']}-{number}-{convention}-{kind}"
                        yield pytest.param(setting, kind, id=name)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    imported("omniglot", folder)
    return Device(dtype=torch.float64, data=folder)


@pytest.mark.parametrize(("setting", "kind"), list(settings()))
def test_a_baseline_trains_as_our_learner_does(setting, kind, place):
    pack, baseline = setting.pack(1, place), setting.baseline(kind, place)
    for _ in range(3):
        before = pack.state.loss_sum.clone()
        pack.step()
        assert baseline.step().item() == pytest.approx((pack.state.loss_sum - before).item(), rel=1e-9)


def test_the_settings_on_sine_are_the_published_configurations():
    lstm, op_lstm, maml = sine.LSTM.run(), sine.OP_LSTM.run(), sine.MAML.run()
    assert (lstm.hyperparameters.widths, lstm.hyperparameters.passes, lstm.meta_batch_size) == ((40, 40), 4, 4)
    assert (op_lstm.hyperparameters.base_widths, op_lstm.hyperparameters.cells) == ((91, 91, 91), (5, 5, 1))
    assert (op_lstm.hyperparameters.passes, op_lstm.meta_batch_size) == (9, 1)
    assert (maml.hyperparameters.base_widths, maml.hyperparameters.passes) == ((91, 91, 91), 14)
    assert (maml.hyperparameters.inner_lr, maml.meta_batch_size, maml.grad_clip) == (0.003769, 2, 10.0)
    assert (lstm.lr, op_lstm.lr, maml.lr) == (0.004674, 0.001045, 0.0032937)
    assert [(s.learner, s.convention) for s in sine.SETTINGS] == [
        ("lstm", "authors"),
        ("lstm", "paper"),
        ("op_lstm", "authors"),
        ("op_lstm", "paper"),
        ("maml", "authors"),
    ]


@pytest.mark.parametrize(
    ("dataset", "learners"),
    [("omniglot", images.OMNIGLOT_LEARNERS), ("miniimagenet", images.CONV4_LEARNERS)],
    ids=["omniglot", "conv4"],
)
def test_the_settings_on_images_are_runs_of_every_learner(dataset, learners):
    found = images.settings(dataset, learners, 4)
    assert [setting.learner for setting in found] == ["op_lstm", "protonet", "maml", "lstm"]
    for setting in found:
        run = setting.run()
        assert (run.benchmark.name, run.meta_batch_size, run.budget.updates) == (dataset, 4, 80_000)


def test_runs_of_a_pack_differ_in_their_seeds_alone():
    pack = sine.LSTM.pack(3, Device(), validation_tasks=7)
    assert isinstance(pack, Pack)
    assert pack.runs == [replace(pack.runs[0], seed=seed) for seed in range(3)]
    assert pack.budget.validation_tasks == 7
