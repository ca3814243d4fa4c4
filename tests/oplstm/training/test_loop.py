"""Validation, selection, test and the ends of runs."""

import dataclasses
import math

import pytest
import torch

from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.testing.recorder import Recorder
from oplstm.training.checkpoint import load_model, load_test_scores, load_validation_values
from oplstm.training.device import Device
from oplstm.training.evaluation import evaluate
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from tests.oplstm.training.runs import run


def train(tmp_path, runs, listener=None, names=None):
    listener = listener or Recorder()
    names = names or [f"run-{i}" for i in range(len(runs))]
    Trainer(Pack(runs, names), listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    return listener


@pytest.mark.parametrize(
    ("budget", "size", "updates"),
    [
        ({"tasks": 60, "validate_every": 20}, 2, [0, 10, 20, 30]),
        ({"tasks": 60, "validate_every": 20}, 3, [0, 7, 14, 20]),
        ({"tasks": 50, "validate_every": 20}, 7, [0, 3, 6]),
        ({"updates": 11, "validate_every": 4}, 5, [0, 4, 8]),
    ],
)
def test_runs_are_validated_before_training_and_at_the_first_update_reaching_each_multiple(
    tmp_path, budget, size, updates
):
    listener = train(tmp_path, [run(meta_batch_size=size, **budget)])
    assert [point.update for point in listener.points] == updates
    assert listener.points[-1].metrics["tasks_seen"] == updates[-1] * size
    assert listener.ends["run-0"].update == math.ceil(budget.get("tasks", 0) / size) or "updates" in budget


def test_a_run_reports_the_loss_of_its_weights_on_the_common_validation_tasks(tmp_path):
    config = run(validation_tasks=40)
    pack = Pack([config], ["r"])
    listener = Recorder()
    Trainer(pack, listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    tasks = TaskStream(config.benchmark, config.evaluation_seed, split=Split.VALIDATION).tasks(0, 40)
    losses = evaluate(pack.learner, pack.params(pack.state.weights), tasks)["loss"][0]
    last = listener.points[-1].metrics
    assert last["val/loss"] == pytest.approx(losses.mean().item(), rel=1e-6)
    assert last["val/ci95"] == pytest.approx(1.96 * losses.std().item() / math.sqrt(40), rel=1e-3)


@pytest.mark.slow
def test_the_weights_of_the_best_validation_are_kept_and_tested(tmp_path):
    listener = train(tmp_path, [run(lr=0.3, tasks=200, seed=s) for s in range(4)])
    for name, end in listener.ends.items():
        mine = [point for point in listener.points if point.run == name]
        best = min(mine, key=lambda point: point.metrics["val/loss"])  # the first of equals: strict improvement
        assert end.best_update == best.update
        assert end.metrics["val/best"] == best.metrics["val/loss"]
        model = load_model(tmp_path / "runs" / name)
        again = model.scores(Split.VALIDATION, seed=7, count=9)["loss"]
        torch.testing.assert_close(again, load_validation_values(tmp_path / "runs" / name), rtol=1e-5, atol=1e-6)
        assert again.mean().item() == pytest.approx(best.metrics["val/loss"], rel=1e-5)
        tested = model.scores(Split.TEST, seed=7, count=11)["loss"]
        torch.testing.assert_close(tested, load_test_scores(tmp_path / "runs" / name)["loss"], rtol=1e-5, atol=1e-6)
        assert end.metrics["test/loss"] == pytest.approx(tested.mean().item(), rel=1e-5)
    assert any(end.best_update != 100 for end in listener.ends.values()), "no run got worse: the test shows nothing"


def reported(path, runs):
    """What a pack of these runs reports, and the values of every test task."""
    listener = Recorder()
    pack = Pack(runs, [f"seed-{one.seed}" for one in runs], Device(dtype=torch.float64))
    Trainer(pack, listener, folder=path / "pack", run_folder=path / "runs").train()
    return listener, {end.run: load_test_scores(path / "runs" / end.run)["loss"] for end in listener.ends.values()}


@pytest.mark.slow
def test_runs_of_different_meta_batches_report_as_they_do_alone(tmp_path):
    runs = [run(seed=1, meta_batch_size=4), run(seed=2, meta_batch_size=1, passes=3), run(seed=3, meta_batch_size=3)]
    runs = [dataclasses.replace(one, evaluation_seed=one.seed) for one in runs]
    together, tested = reported(tmp_path / "together", runs)
    for one in runs:
        name = f"seed-{one.seed}"
        alone, tested_alone = reported(tmp_path / name, [one])
        own = {key: metrics for key, metrics in together.metrics().items() if key[0] == name}
        assert list(own) == list(alone.metrics())
        for key, metrics in alone.metrics().items():
            assert own[key] == pytest.approx(metrics, rel=1e-9)
        end, expected = together.ends[name], alone.ends[name]
        assert (end.state, end.update, end.best_update) == ("complete", expected.update, expected.best_update)
        torch.testing.assert_close(tested[name], tested_alone[name], rtol=1e-9, atol=1e-12)
    assert len({end.update for end in together.ends.values()}) == 3


@pytest.mark.slow
def test_a_run_that_joins_reports_as_it_does_alone(tmp_path):
    begins, late = run(seed=1, tasks=40), run(seed=2, tasks=40, meta_batch_size=4)
    listener = Recorder(prune={10: {"pruned"}}, join={10: [("late", late)]})
    pack = Pack([begins, run(seed=3, tasks=40)], ["begins", "pruned"], Device(dtype=torch.float64))
    Trainer(pack, listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs", capacity=2).train()
    assert listener.asked == [(10, 1)], "room for one, and none after it joined until the pack's last run is left"
    _, tested = reported(tmp_path / "alone", [late])
    alone, _ = reported(tmp_path / "again", [late])
    own = {update: metrics for (name, update), metrics in listener.metrics().items() if name == "late"}
    assert list(own) == [0, 5, 10]
    for (_, update), metrics in alone.metrics().items():
        assert own[update] == pytest.approx(metrics, rel=1e-9)
    end = listener.ends["late"]
    assert (end.state, end.update) == ("complete", 10)
    scores = load_test_scores(tmp_path / "runs" / "late")["loss"]
    torch.testing.assert_close(scores, tested["seed-2"], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_nobody_is_asked_for_runs_while_a_pack_is_full_or_without_a_capacity(tmp_path):
    for name, capacity in (("full", 1), ("none", None)):
        listener = Recorder()
        pack = Pack([run()], ["r"])
        Trainer(pack, listener, folder=tmp_path / name, run_folder=tmp_path / "runs", capacity=capacity).train()
        assert listener.asked == []
        assert listener.ends["r"].state == "complete"


def validated(tmp_path, monkeypatch, *losses):
    """The end of a run that is validated with these losses at updates 0, 10, 20, ..."""
    pack = Pack([run(tasks=20 * (len(losses) - 1))], ["r"])
    values = iter(losses)
    monkeypatch.setattr(
        pack, "validation_scores", lambda rows: {"loss": torch.full((1, 9), next(values), dtype=torch.float64)}
    )
    listener = Recorder()
    Trainer(pack, listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    return listener.ends["r"]


def test_nan_is_never_the_best(tmp_path, monkeypatch):
    end = validated(tmp_path, monkeypatch, 5.0, 4.0, float("nan"))
    assert (end.state, end.best_update, end.metrics["val/best"]) == ("diverged", 10, 4.0)


def test_of_equal_validations_the_first_is_the_best(tmp_path, monkeypatch):
    end = validated(tmp_path, monkeypatch, 5.0, 4.0, 4.0, 4.5)
    assert (end.state, end.best_update, end.metrics["val/best"]) == ("complete", 10, 4.0)


@pytest.mark.slow
def test_a_diverging_run_ends_as_diverged_and_the_pack_goes_on(tmp_path):
    listener = train(tmp_path, [run(seed=1), run(seed=2, lr=1e6)], names=["calm", "wild"])
    assert listener.ends["wild"].state == "diverged"
    assert "validation loss" in listener.ends["wild"].note
    weights = load_model(tmp_path / "runs" / "wild")
    expected = weights.scores(Split.TEST, seed=weights.run.evaluation_seed, count=weights.run.budget.test_tasks)
    torch.testing.assert_close(load_test_scores(tmp_path / "runs" / "wild")["loss"], expected["loss"])
    assert math.isfinite(listener.ends["wild"].metrics["test/loss"]), "with its best weights, from before"
    assert listener.ends["calm"].state == "complete"
    assert {p.run for p in listener.points if p.update > 10} == {"calm"}


def test_a_training_loss_that_is_not_finite_is_named_with_its_update(tmp_path):
    pack = Pack([run()], ["r"])
    listener = Recorder()
    step = pack.step

    def poisoned():
        if pack.update == 3:
            pack.state.weights[0, -1] = float("inf")  # the bias of the read-out
        step()

    pack.step = poisoned
    Trainer(pack, listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    assert listener.ends["r"].note == "diverged: training loss not finite at update 4"


@pytest.mark.slow
def test_pruned_runs_leave_the_pack_untested(tmp_path):
    listener = train(tmp_path, [run(seed=s) for s in range(3)], Recorder(prune={10: {"run-1"}}))
    assert [listener.ends[f"run-{i}"].state for i in range(3)] == ["complete", "pruned", "complete"]
    assert listener.ends["run-1"].update == 10
    assert "test/loss" not in listener.ends["run-1"].metrics
    assert (tmp_path / "runs" / "run-1" / "model.safetensors").is_file()
    assert not (tmp_path / "runs" / "run-1" / "test.safetensors").exists()


@pytest.mark.slow
def test_the_training_loss_of_a_point_is_the_mean_since_the_point_before(tmp_path):
    config = run(lr=1e-12, tasks=60, validate_every=20)  # does not move, so the losses can be made again
    listener = train(tmp_path, [config])
    pack = Pack([config], ["r"])
    batches = [TaskStream(config.benchmark, 0, split=Split.TRAIN).batch(i, 2) for i in range(30)]
    losses = [evaluate(pack.learner, pack.params(pack.state.weights), batch)["loss"].mean().item() for batch in batches]
    untrained, *points = listener.points
    assert "train/loss" not in untrained.metrics
    reported = [point.metrics["train/loss"] for point in points]
    assert reported == pytest.approx([sum(losses[i : i + 10]) / 10 for i in (0, 10, 20)], rel=1e-5)


def test_no_test_is_made_where_none_is_wanted(tmp_path):
    assert "test/loss" not in train(tmp_path, [run(test_tasks=0)]).ends["run-0"].metrics
