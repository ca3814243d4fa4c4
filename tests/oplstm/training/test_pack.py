"""A pack equals its single runs, and its runs have nothing to do with each other."""

from dataclasses import replace

import pytest
import torch

from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.testing.packs import assert_rows_equal_singles, stepped
from oplstm.training.device import Device
from oplstm.training.evaluation import training_losses
from oplstm.training.pack import Pack
from tests.oplstm.training.runs import LEARNERS, next_tasks, run

DOUBLE = Device(dtype=torch.float64)
RATES = (1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 1e-2)


def eight(learner, **changes):
    """Eight configurations that differ in seed, rate and, where it is real-valued, gamma."""
    gammas = [{"gamma": 0.02 * (i + 1)} if learner.startswith("op_lstm") else {} for i in range(8)]
    return [run(learner, seed=i, lr=rate, **gammas[i], **changes) for i, rate in enumerate(RATES)]


@pytest.mark.slow
def test_a_pack_of_the_published_lstm_equals_its_single_runs_after_200_updates():
    runs = [run("lstm-authors", seed=i, lr=0.004674, meta_batch_size=4, widths=[40, 40], passes=4) for i in range(2)]
    assert_rows_equal_singles(runs, 200, 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["lstm", "op_lstm-authors"])
def test_packs_of_small_networks_stay_equal_over_50_updates(learner):
    assert_rows_equal_singles(eight(learner)[::3], 50, 1e-9)


def test_runs_of_one_pack_draw_the_tasks_they_would_draw_alone():
    runs = eight("lstm")
    pack = Pack(runs, [str(i) for i in range(8)], DOUBLE)
    pack.keep([1, 4, 6])
    pack.restore(pack.state, 5, [0, 2, 0])
    for batch, kept, update in zip(next_tasks(pack).support_x, (1, 4, 6), (5, 3, 5), strict=True):
        alone = TaskStream(runs[kept].benchmark, kept, split=Split.TRAIN, dtype=torch.float64)
        torch.testing.assert_close(batch, alone.batch(update, len(batch)).support_x[0], rtol=0, atol=0)


def test_a_diverged_run_stops_moving_and_leaves_its_neighbours_alone():
    healthy, doomed = run(seed=1), run(seed=2)
    pack = Pack([healthy, doomed], ["healthy", "doomed"], DOUBLE)
    pack.state.weights[1] = float("nan")
    for _ in range(5):
        pack.step()
    assert pack.state.diverged_at.tolist() == [-1, 1]
    alone = stepped([healthy], 5).state.weights[0]
    assert (pack.state.weights[0] - alone).norm() / alone.norm() <= 1e-12


def test_a_run_that_diverges_later_keeps_the_weights_it_had():
    pack = Pack([run(seed=1)], ["r"], DOUBLE)
    pack.step()
    pack.state.diverged_at[0] = 1
    before = pack.state.weights.clone()
    pack.step()
    assert torch.equal(pack.state.weights, before)


RAGGED = [(1, 3), (4, 1), (2, 2), (8, 3), (3, 1)]
"""Meta-batch size and T of runs that share a pack."""


@pytest.mark.integration
@pytest.mark.parametrize("loss_on", ["last", "every"])
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_pack_of_different_meta_batches_and_passes_equals_its_single_runs(learner, loss_on):
    passes = [t + 1 if learner.startswith("lstm") else t for _, t in RAGGED]
    real = {"gamma": 0.03} if learner.startswith("op_lstm") else {}
    sizes = [b for b, _ in RAGGED]
    runs = [
        run(learner, seed=i, lr=rate, meta_batch_size=size, passes=count, loss_on=loss_on, **real)
        for i, (rate, size, count) in enumerate(zip(RATES, sizes, passes, strict=False))
    ]
    pack = stepped(runs, 3)
    assert [run.hyperparameters.passes for run in pack.runs] == sorted(passes, reverse=True)
    scores, tested = pack.validation_scores(), pack.test_scores([2])
    for row, (name, own) in enumerate(zip(pack.names, pack.runs, strict=True)):
        single = stepped([own], 3)
        alone = single.state.weights[0]
        assert (pack.state.weights[row] - alone).norm() / alone.norm() <= 1e-11, name
        torch.testing.assert_close(scores["loss"][row], single.validation_scores()["loss"][0], rtol=1e-10, atol=1e-12)
        if row == 2:
            torch.testing.assert_close(tested["loss"][0], single.test_scores()["loss"][0], rtol=1e-10, atol=1e-12)


@pytest.mark.integration
def test_runs_that_join_equal_runs_that_begin():
    runs = [run("op_lstm", seed=i, passes=passes, meta_batch_size=size) for i, (size, passes) in enumerate(RAGGED)]
    pack = Pack(runs[:3], ["0", "1", "2"], DOUBLE)
    for _ in range(4):
        pack.step()
    pack.keep([row for row, name in enumerate(pack.names) if name != "1"])
    pack.add(runs[3:], ["3", "4"])
    for _ in range(3):
        pack.step()
    assert [run.hyperparameters.passes for run in pack.runs] == [3, 3, 2, 1]
    assert dict(zip(pack.names, pack.updates, strict=True)) == {"0": 7, "2": 7, "3": 3, "4": 3}
    for row, (name, updates) in enumerate(zip(pack.names, pack.updates, strict=True)):
        alone = stepped([runs[int(name)]], updates).state
        for tensor, expected in (
            (pack.state.weights, alone.weights),
            (pack.state.moments.second, alone.moments.second),
        ):
            assert (tensor[row] - expected[0]).norm() / expected.norm() <= 1e-11, name


def test_a_run_of_another_signature_cannot_join():
    pack = Pack([run()], ["a"])
    with pytest.raises(ValueError, match=r"must share a signature: b have another"):
        pack.add([run(support="sequential")], ["b"])
    assert pack.names == ["a"]


@pytest.mark.integration
def test_dropping_runs_changes_nothing_for_the_others():
    runs = eight("op_lstm")
    pack = Pack(runs, [str(i) for i in range(8)], DOUBLE)
    for update in range(12):
        pack.step()
        if update == 5:
            pack.keep([0, 3, 7])
    assert pack.names == ["0", "3", "7"]
    for row, kept in enumerate((0, 3, 7)):
        alone = stepped([runs[kept]], 12).state.weights[0]
        assert (pack.state.weights[row] - alone).norm() / alone.norm() <= 1e-12


@pytest.mark.parametrize("change", [{"support": "sequential"}, {"tasks": 80}])
def test_runs_of_different_signatures_are_refused(change):
    with pytest.raises(ValueError, match=r"must share a signature: a, b do not"):
        Pack([run(), run(**change)], ["a", "b"])


def test_final_runs_draw_other_tasks_than_trials_of_the_same_seed():
    from dataclasses import replace

    trial, final = Pack([run()], ["t"]), Pack([replace(run(), final=True)], ["f"])
    for ours, theirs in (
        (next_tasks(trial), next_tasks(final)),
        (trial.evaluation_tasks(Split.VALIDATION, 9), final.evaluation_tasks(Split.FINAL_VALIDATION, 9)),
    ):
        assert not set(ours.support_x.flatten().tolist()) & set(theirs.support_x.flatten().tolist())


def test_the_meta_gradient_is_clamped_run_by_run(monkeypatch):
    clipped, free = run("lstm", seed=0), run("lstm", seed=1)
    clipped = replace(clipped, grad_clip=1e-3)
    seen = []
    step = "oplstm.training.update.meta_update.adam_step"
    monkeypatch.setattr(step, lambda weights, grad, *_, **__: seen.append(grad.clone()))
    stepped([clipped, free], 1)
    stepped([replace(clipped, grad_clip=None), free], 1)
    with_clamp, without = seen
    torch.testing.assert_close(with_clamp[0], without[0].clamp(-1e-3, 1e-3), rtol=0, atol=0)
    assert torch.equal(with_clamp[1], without[1])
    assert without[0].abs().max() > 1e-3


def by_torch(runs, tasks):
    """Movements by ``torch.optim.Adam`` after backward passes of one task at a time ``(R, P)``, and losses ``(R,)``."""
    pack = Pack(runs, [str(number) for number in range(len(runs))], DOUBLE)
    moved, losses = [], []
    for row, config in enumerate(runs):
        learner = pack.learner
        weights = pack.state.weights[row : row + 1].clone().requires_grad_()
        start, optimiser, total = weights.detach().clone(), torch.optim.Adam([weights], lr=config.lr), 0.0
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5 ** (1 / (config.lr_half_life or torch.inf)))
        for batch in tasks:
            optimiser.zero_grad()
            for task in range(config.meta_batch_size):
                one = batch.runs(row, row + 1).tasks(task, task + 1)
                loss = training_losses(learner, pack.layout.views(weights), batch=one).sum()
                (loss if config.meta_gradient == "sum" else loss / config.meta_batch_size).backward()
                total += float(loss.detach()) / config.meta_batch_size
            if config.grad_clip is not None:
                torch.nn.utils.clip_grad_value_([weights], config.grad_clip)
            optimiser.step()
            schedule.step()
        moved.append((weights.detach() - start)[0])
        losses.append(total)
    return torch.stack(moved), torch.tensor(losses, dtype=torch.float64)


def moved_as_torch_moves(runs, updates):
    """Movements of a pack after some updates, once they are seen to be torch's, and its losses beside torch's."""
    pack = Pack(runs, [str(number) for number in range(len(runs))], DOUBLE)
    start, tasks = pack.state.weights.clone(), []
    for _ in range(updates):
        tasks.append(next_tasks(pack))
        pack.step()
    moved, losses = by_torch(runs, tasks)
    torch.testing.assert_close(pack.state.weights - start, moved, rtol=1e-9, atol=1e-15)
    return pack.state.weights - start, (pack.state.loss_sum, losses)


@pytest.mark.slow
def test_a_summed_meta_gradient_is_what_torch_accumulates_over_tasks():
    """Adam sees the factor by its epsilon, which gradients as small as these make large."""
    one = replace(run("lstm", seed=1, meta_batch_size=3), lr=1e-3)
    runs = [replace(one, meta_gradient="sum"), one, replace(one, meta_gradient="sum", grad_clip=1e-4), one]
    moved, losses = moved_as_torch_moves(runs, 3)
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    summed, mean, clipped, again = moved
    assert torch.equal(mean, again)
    assert (summed - mean).norm() > 1e-6 * mean.norm()
    assert (clipped - summed).norm() > 1e-6 * mean.norm()


@pytest.mark.slow
def test_a_rate_that_halves_is_torch_s_exponential_one_run_by_run():
    one = replace(run("lstm", meta_batch_size=2), lr=1e-3)
    runs = [replace(one, lr_half_life=1.5), one, replace(one, lr_half_life=0.5), replace(one, lr_half_life=1e30)]
    moved, _ = moved_as_torch_moves(runs, 4)
    slower, kept, slowest, never = moved.norm(dim=1)
    assert slowest < 0.8 * slower < 0.64 * kept and kept == never


def test_a_run_of_one_task_a_meta_batch_sums_as_it_averages():
    one = run("lstm", meta_batch_size=1)
    summed, mean = stepped([replace(one, meta_gradient="sum"), one], 3).state.weights
    assert torch.equal(summed, mean)
