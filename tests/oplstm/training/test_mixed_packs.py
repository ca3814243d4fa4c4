"""Packs of runs of different shapes: each run is what it is alone, however the pack grows and shrinks."""

import pytest
import torch
from safetensors.torch import load_file

from oplstm.training.checkpoint import load_model
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.update.gradients import GroupedGradients, SideBySideGradients
from tests.oplstm.training.runs import Recorder, next_tasks, run

DOUBLE = Device(dtype=torch.float64)
SHAPES = [
    {"widths": [8, 3, 5], "passes": 4, "meta_batch_size": 1, "loss_on": "every"},
    {"widths": [3], "passes": 2, "meta_batch_size": 3, "pool_cell": False},
    {"widths": [40, 40], "passes": 3, "meta_batch_size": 2, "query_cell": "zero"},
    {"widths": [1, 1, 1, 1], "passes": 6, "meta_batch_size": 4, "encoding": "previous_target_prediction"},
    {"widths": [20], "passes": 3, "meta_batch_size": 2, "loss_on": "last_and_support"},
]


def mixed(**changes):
    return [run("lstm", seed=i, lr=0.002 * (i + 1), **{**shape, **changes}) for i, shape in enumerate(SHAPES)]


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


@pytest.mark.unit
def test_it_equals_its_single_runs_after_one_update_and_scores_them_alike():
    pack = trained(mixed(), 1)
    assert isinstance(pack.meta_update.gradients, SideBySideGradients)
    assert_equal_to_single_runs(pack, 1e-12)
    scores, tested = pack.validation_scores()["loss"], pack.test_scores([3, 1])["loss"]
    for row, one in enumerate(pack.runs):
        single = trained([one], 1)
        torch.testing.assert_close(scores[row], single.validation_scores()["loss"][0], rtol=1e-10, atol=0)
        if row in (3, 1):
            expected = single.test_scores()["loss"][0]
            torch.testing.assert_close(tested[[3, 1].index(row)], expected, rtol=1e-10, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("support", ["batched", "sequential"])
def test_it_equals_its_single_runs_after_200_updates(support):
    losses = {} if support == "batched" else {"loss_on": "every"}
    pack = trained(mixed(support=support, **losses), 200)
    assert_equal_to_single_runs(pack, 1e-10)


@pytest.mark.unit
def test_it_begins_with_the_weights_and_draws_the_tasks_of_its_single_runs_to_the_bit():
    pack = Pack(mixed(), named(mixed()))
    tasks, first = next_tasks(pack), 0
    for row, one in enumerate(pack.runs):
        single = Pack([one], ["alone"])
        size = single.state.weights.shape[1]
        assert torch.equal(pack.state.weights[row, :size], single.state.weights[0])
        own = next_tasks(single).support_x.flatten(0, 1)
        assert torch.equal(tasks.support_x[first : first + len(own), 0], own)
        first += len(own)


@pytest.mark.unit
def test_narrowed_and_joined_it_still_equals_its_single_runs():
    runs = mixed()
    pack = Pack(runs[:3], named(runs[:3]), DOUBLE)
    wide = pack.state.weights.shape[1]
    for _ in range(5):  # beyond the calls before a recording
        pack.step()
    pack.keep([row for row, name in enumerate(pack.names) if name != "run-2"])
    assert pack.state.weights.shape[1] < wide, "the pack is as wide as the run that left"
    for _ in range(5):
        pack.step()
    pack.add(runs[3:], named(runs[3:]))
    for _ in range(5):
        pack.step()
    assert sorted(zip(pack.names, pack.updates, strict=True)) == [
        ("run-0", 15), ("run-1", 15), ("run-3", 5), ("run-4", 5)
    ]  # fmt: skip
    assert_equal_to_single_runs(pack, 1e-11)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ([{}], SideBySideGradients),
        ([{}, {"seed": 1}], GroupedGradients),
        ([{}, {"seed": 1, "passes": 4}], GroupedGradients),
        ([{}, {"seed": 1, "meta_batch_size": 3}], SideBySideGradients),
        ([{"precision": "bf16"}, {"precision": "bf16", "meta_batch_size": 3}], GroupedGradients),
    ],
)
def test_runs_that_are_alike_are_trained_in_groups(changes, how):
    runs = [run("lstm", **one) for one in changes]
    assert isinstance(Pack(runs, [str(i) for i in range(len(runs))]).meta_update.gradients, how)


@pytest.mark.unit
def test_stopped_and_resumed_is_never_stopped_and_models_have_the_shapes_of_their_runs(tmp_path):
    runs = mixed()

    def train(folder, stop_at=None):
        listener = Recorder(prune={5: {"run-3"}}, stop_at=stop_at)
        Trainer(Pack(runs, named(runs)), listener, folder / "pack", folder / "runs").train()
        return listener

    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop_at=17)
    listener = Recorder(prune={5: {"run-3"}})
    from oplstm.training.checkpoint import runs_of_checkpoint

    left = runs_of_checkpoint(tmp_path / "parts" / "pack", dict(zip(named(runs), runs, strict=True)))
    assert left is not None and 0 < len(left) < len(runs), "some had ended and some had not"
    Trainer(Pack([*left.values()], [*left]), listener, tmp_path / "parts" / "pack", tmp_path / "parts" / "runs").train()
    assert whole.ends["run-3"].state == "pruned" and set(left) <= set(listener.ends)
    for one in runs:
        name = f"run-{one.seed}"
        files = [tmp_path / kind / "runs" / name / "model.safetensors" for kind in ("whole", "parts")]
        assert files[0].read_bytes() == files[1].read_bytes()
        alone = Pack([one], ["alone"]).layout.shapes
        assert {key: tuple(value.shape) for key, value in load_file(files[0]).items()} == alone
        assert load_model(files[0].parent).run == one
