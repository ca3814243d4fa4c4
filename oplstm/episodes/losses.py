"""How far predictions are from the targets of an episode's queries."""

from torch import Tensor
from torch.nn import functional

from oplstm.episodes.task_shape import Loss
from oplstm.tensors import PerTask, Predictions


def task_losses(prediction: Predictions, target: Predictions, loss: Loss) -> PerTask:
    """Mean query loss of each task."""
    if loss == "mse":
        return (prediction - target).square().mean((2, 3))
    losses: Tensor = -(functional.log_softmax(prediction, dim=3) * target).sum(3).mean(2)
    return losses


def task_accuracies(prediction: Predictions, target: Predictions) -> PerTask:
    """The share of queries of each task whose largest logit is the right one."""
    return (prediction.argmax(3) == target.argmax(3)).double().mean(2)
