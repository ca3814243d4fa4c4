"""Query losses on many tasks: the loss itself, evaluation in parts, and the confidence interval."""

import pytest
import torch

from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm import LSTM
from oplstm.learners.lstm_config import LSTMConfig
from oplstm.training import evaluation
from oplstm.training.evaluation import Bounds, ci95, evaluate
from tests.oplstm.learners.comparison import Sizes, random_episode, random_params, training_loss

LEARNER = LSTM(LSTMConfig(widths=(3,), passes=2), TaskShape((1,), 1))


def test_task_loss_is_the_mean_squared_error_of_each_task():
    prediction, target = torch.zeros(2, 1, 2, 2), torch.arange(8.0).view(2, 1, 2, 2)
    assert task_losses(prediction, target, "mse").tolist() == [[(0 + 1 + 4 + 9) / 4], [(16 + 25 + 36 + 49) / 4]]


def test_evaluation_gives_each_task_the_loss_that_training_averages():
    tasks, params = random_episode(Sizes(R=2, B=5)), random_params(LEARNER, 2)
    losses = evaluate(LEARNER, params, tasks)["loss"]
    assert losses.shape == (2, 5)
    torch.testing.assert_close(losses.mean(1), training_loss(LEARNER, params, tasks))


@pytest.mark.parametrize("shared", [False, True], ids=["a set a run", "one set for all"])
@pytest.mark.parametrize("bounds", [(1, 1, 1000), (2, 30, 1000), (2, 1000, 40), (3, 1000, 1000)])
def test_evaluation_does_not_depend_on_the_parts_it_is_done_in_and_no_part_is_above_its_bounds(
    bounds, shared, monkeypatch
):
    tasks, params, counts = random_episode(Sizes(R=1 if shared else 3, B=7)), random_params(LEARNER, 3), [3, 2, 1]
    wanted = [
        evaluate(LEARNER, {name: p[r : r + 1] for name, p in params.items()},
                 tasks.runs(0, 1) if shared else tasks.runs(r, r + 1), counts=counts[r : r + 1])["loss"]
        for r in range(3)
    ]  # fmt: skip
    seen, predict = [], LSTM.predict

    def noted(self, params, fast, query_x):
        seen.append(query_x.shape[:3])
        return predict(self, params, fast, query_x)

    monkeypatch.setattr(LSTM, "predict", noted)
    monkeypatch.setitem(evaluation.AT_ONCE, "cpu", Bounds(*bounds))
    losses = evaluate(LEARNER, params, tasks, counts=counts)["loss"]
    torch.testing.assert_close(losses, torch.cat(wanted), rtol=1e-12, atol=0)
    support, queries = tasks.support_y.shape[2], tasks.query_y.shape[2]
    for runs, some, _ in seen:
        assert runs <= bounds[0]
        assert some == 1 or runs * some * queries <= bounds[1]
        assert some == 1 or runs * some * (support + queries) <= bounds[2]


def test_one_set_of_tasks_serves_all_runs():
    tasks, params = random_episode(Sizes(R=1, B=4)), random_params(LEARNER, 3)
    losses = evaluate(LEARNER, params, tasks)["loss"]
    for run in range(3):
        alone = evaluate(LEARNER, {name: tensor[run : run + 1] for name, tensor in params.items()}, tasks)["loss"]
        torch.testing.assert_close(losses[run : run + 1], alone, rtol=1e-12, atol=0)


def test_evaluation_is_on_the_last_pass_whatever_training_averages():
    every = LSTM(LSTMConfig(widths=(3,), passes=2, loss_on="every"), TaskShape((1,), 1))
    tasks, params = random_episode(Sizes()), random_params(LEARNER, 2)
    assert torch.equal(evaluate(every, params, tasks)["loss"], evaluate(LEARNER, params, tasks)["loss"])


def test_losses_come_in_float64_without_a_graph():
    tasks = random_episode(Sizes()).to(torch.device("cpu"), torch.float32)
    params = {name: tensor.float().requires_grad_() for name, tensor in random_params(LEARNER, 2).items()}
    losses = evaluate(LEARNER, params, tasks)["loss"]
    assert losses.dtype == torch.float64
    assert not losses.requires_grad


def test_ci95_by_hand():
    losses = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]]).double()
    assert ci95(losses).tolist() == pytest.approx([1.959964 * (5 / 3) ** 0.5 / 2, 0.0], rel=1e-6)
