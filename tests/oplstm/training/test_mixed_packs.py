"""Packs of runs of different shapes: each run is what it is alone, however the pack grows and shrinks."""

import pytest
import torch
from safetensors.torch import load_file

from oplstm.testing.recorder import Recorder
from oplstm.training.checkpoint import load_model, runs_of_checkpoint
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.update.gradients import GradientsByKind, GroupedGradients, SideBySideGradients
from tests.oplstm.training.runs import next_tasks, run

DOUBLE = Device(dtype=torch.float64)
SHAPES = {
    "lstm": [
        {"widths": [8, 3, 5], "passes": 4, "meta_batch_size": 1, "loss_on": "every"},
        {"widths": [3], "passes": 2, "meta_batch_size": 3, "pool_cell": False},
        {"widths": [40, 40], "passes": 3, "meta_batch_size": 2, "query_cell": "zero"},
        {"widths": [1, 1, 1, 1], "passes": 6, "meta_batch_size": 4, "encoding": "previous_target_prediction"},
        {"widths": [20], "passes": 3, "meta_batch_size": 2, "loss_on": "last_and_support"},
    ],
    "op_lstm": [
        {"cells": [2, 2, 1], "passes": 2, "meta_batch_size": 1, "gamma": 0.02, "gamma_learned": True},
        {"cells": [6, 1], "passes": 1, "meta_batch_size": 3, "normalisation": "all", "pool_states": False},
        {"cells": [3, 3, 1], "base_widths": [30, 7], "passes": 2, "meta_batch_size": 2, "convention": "authors"},
        {"cells": [2, 2, 1], "passes": 3, "meta_batch_size": 4, "gamma": 0.03, "gamma_learned": True},
        {"cells": [2, 2, 2, 1], "base_widths": [], "passes": 2, "meta_batch_size": 2, "gamma": 0.3},
    ],
    "maml": [
        {"base_widths": [12, 5], "passes": 3, "meta_batch_size": 1, "inner_lr": 0.01},
        {"base_widths": [6, 6, 6, 6], "passes": 1, "meta_batch_size": 3, "activation": "tanh"},
        {"base_widths": [40, 9], "passes": 2, "meta_batch_size": 2, "clip": 0.1},
        {"base_widths": [12, 5], "passes": 5, "meta_batch_size": 4, "inner_lr": 0.02},
        {"base_widths": [6], "passes": 2, "meta_batch_size": 2, "loss_on": "every", "batch_norm": True},
    ],
}
"""By learner. The third has most parameters; of those without a program of their own the fourth is like the first."""


def mixed(learner="lstm", **changes):
    shapes = SHAPES[learner]
    return [run(learner, seed=i, lr=0.002 * (i + 1), **{**shape, **changes}) for i, shape in enumerate(shapes)]


def named(runs):
    return [f"run-{one.seed}" for one in runs]


def trained(runs, updates, device=DOUBLE):
    pack = Pack(runs, named(runs), device)
    for _ in range(updates):
        pack.step()
    return pack


def assert_equal_to_single_runs(pack, tolerance):
    for row, (one, updates) in enumerate(zip(pack.runs, pack.updates, strict=True)):
        alone = trained([one], updates).state
        size = alone.weights.shape[1]
        for name, tensor in pack.state.tensors().items():
            if name in ("weights", "moments.first", "moments.second"):
                expected = alone.tensors()[name][0]
                error = (tensor[row, :size] - expected).norm() / expected.norm()
                assert error <= tolerance, f"{pack.names[row]}, {name}: relative difference {error:.1e}"
                assert not tensor[row, size:].any(), "what belongs to no run has moved"


@pytest.mark.slow
@pytest.mark.parametrize("learner", SHAPES)
def test_it_equals_its_single_runs_after_one_update_and_scores_them_alike(learner):
    pack = trained(mixed(learner), 1)
    assert isinstance(pack.meta_update.gradients, SideBySideGradients if learner == "lstm" else GradientsByKind)
    assert_equal_to_single_runs(pack, 1e-12)
    scores, tested = pack.validation_scores()["loss"], pack.test_scores([3, 1])["loss"]
    for row, one in enumerate(pack.runs):
        single = trained([one], 1)
        torch.testing.assert_close(scores[row], single.validation_scores()["loss"][0], rtol=1e-10, atol=0)
        if row in (3, 1):
            expected = single.test_scores()["loss"][0]
            torch.testing.assert_close(tested[[3, 1].index(row)], expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "updates", [pytest.param(40, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.long)]
)
@pytest.mark.parametrize(
    ("learner", "changes"),
    [("lstm", {}), ("lstm", {"support": "sequential", "loss_on": "every"}), ("op_lstm", {}), ("maml", {})],
)
def test_it_equals_its_single_runs_after_many_updates(learner, changes, updates):
    pack = trained(mixed(learner, **changes), updates)
    assert_equal_to_single_runs(pack, 1e-10)


@pytest.mark.integration
@pytest.mark.parametrize("learner", ["op_lstm", "maml"])
def test_kind_by_kind_the_runs_of_a_kind_are_a_pack_of_their_own_to_the_bit(learner):
    runs, updates = mixed(learner), 3  # beyond the recording
    pack = trained(runs, updates, Device())
    for rows in ([0, 3], [1], [2], [4]):
        of_kind = trained([runs[row] for row in rows], updates, Device())
        assert isinstance(of_kind.meta_update.gradients, GroupedGradients)
        for row, name in enumerate(of_kind.names):
            size = of_kind.state.weights.shape[1]
            assert torch.equal(pack.state.weights[pack.names.index(name), :size], of_kind.state.weights[row])


@pytest.mark.parametrize("learner", SHAPES)
def test_it_begins_with_the_weights_and_draws_the_tasks_of_its_single_runs_to_the_bit(learner):
    pack = Pack(mixed(learner), named(mixed(learner)))
    tasks, first = next_tasks(pack), 0
    for row, one in enumerate(pack.runs):
        single = Pack([one], ["alone"])
        size = single.state.weights.shape[1]
        assert torch.equal(pack.state.weights[row, :size], single.state.weights[0])
        own = next_tasks(single).support_x.flatten(0, 1)
        assert torch.equal(tasks.support_x[first : first + len(own), 0], own)
        first += len(own)


@pytest.mark.integration
@pytest.mark.parametrize("learner", SHAPES)
def test_narrowed_and_joined_it_still_equals_its_single_runs(learner):
    runs = mixed(learner)
    pack = Pack(runs[:3], named(runs[:3]), DOUBLE)
    wide = pack.state.weights.shape[1]
    for _ in range(3):  # beyond the recording
        pack.step()
    pack.keep([row for row, name in enumerate(pack.names) if name != "run-2"])
    assert pack.state.weights.shape[1] < wide, "the pack is as wide as the run that left"
    for _ in range(3):
        pack.step()
    pack.add(runs[3:], named(runs[3:]))
    for _ in range(3):
        pack.step()
    assert sorted(zip(pack.names, pack.updates, strict=True)) == [
        ("run-0", 9), ("run-1", 9), ("run-3", 3), ("run-4", 3)
    ]  # fmt: skip
    assert_equal_to_single_runs(pack, 1e-11)


@pytest.mark.parametrize(
    ("learner", "changes", "how"),
    [
        ("lstm", [{}], SideBySideGradients),
        ("lstm", [{}, {"seed": 1}], GroupedGradients),
        ("lstm", [{}, {"seed": 1, "passes": 4}], GroupedGradients),
        ("lstm", [{}, {"seed": 1, "meta_batch_size": 3}], SideBySideGradients),
        ("lstm", [{"precision": "bf16"}, {"precision": "bf16", "meta_batch_size": 3}], GroupedGradients),
        ("maml", [{}, {"seed": 1, "meta_batch_size": 3, "passes": 4, "inner_lr": 0.1}], GroupedGradients),
    ],
)
def test_runs_that_are_alike_are_trained_in_groups(learner, changes, how):
    runs = [run(learner, **one) for one in changes]
    assert isinstance(Pack(runs, [str(i) for i in range(len(runs))]).meta_update.gradients, how)


@pytest.mark.integration
@pytest.mark.parametrize("learner", SHAPES)
def test_stopped_and_resumed_is_never_stopped_and_models_have_the_shapes_of_their_runs(learner, tmp_path):
    runs = mixed(learner)

    def train(folder, stop_at=None):
        listener = Recorder(prune={5: {"run-3"}}, stop_at=stop_at)
        Trainer(Pack(runs, named(runs)), listener, folder=folder / "pack", run_folder=folder / "runs").train()
        return listener

    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop_at=17)
    listener = Recorder(prune={5: {"run-3"}})
    left = runs_of_checkpoint(tmp_path / "parts" / "pack", dict(zip(named(runs), runs, strict=True)))
    assert left is not None and 0 < len(left) < len(runs), "some had ended and some had not"
    Trainer(
        Pack([*left.values()], [*left]),
        listener,
        folder=tmp_path / "parts" / "pack",
        run_folder=tmp_path / "parts" / "runs",
    ).train()
    assert whole.ends["run-3"].state == "pruned" and set(left) <= set(listener.ends)
    for one in runs:
        name = f"run-{one.seed}"
        files = [tmp_path / kind / "runs" / name / "model.safetensors" for kind in ("whole", "parts")]
        assert files[0].read_bytes() == files[1].read_bytes()
        alone = Pack([one], ["alone"]).layout.shapes
        assert {key: tuple(value.shape) for key, value in load_file(files[0]).items()} == alone
        assert load_model(files[0].parent).run == one
