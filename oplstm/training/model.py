"""A trained run, ready to learn new tasks."""

from typing import Annotated

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.nets.arithmetic import arithmetic
from oplstm.shape import Shape
from oplstm.training.device import Device
from oplstm.training.evaluation import evaluate
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig

TaskValues = Annotated[Tensor, Shape("tasks")]
"""A number for every task of an evaluation, float64."""


class Model:
    """A trained run, ready to learn new tasks.

    Attributes:
        run: Its configuration.
        pack: A pack of this run alone.
    """

    def __init__(self, run: RunConfig, weights: dict[str, Tensor], device: Device) -> None:
        self.run = run
        self.pack = Pack([run], ["model"], device)
        self.pack.state.best_weights = self.pack.layout.flatten([weights]).to(device.device)

    def scores(self, split: Split, *, seed: int, count: int) -> dict[str, TaskValues]:
        """Scores on the first ``count`` tasks of a split drawn from ``seed``."""
        pack = self.pack
        episode = TaskStream(pack.tasks, seed, split=split).tasks(0, count).to(pack.device.device, pack.device.dtype)
        with arithmetic(self.run.precision, pack.device.device):
            found = evaluate(pack.learner, pack.params(pack.state.best_weights), episode, tasks=pack.tasks)
        return {name: values[0].cpu() for name, values in found.items()}

    @torch.no_grad()
    def predict(
        self,
        support_x: Annotated[Tensor, Shape("M *x")],
        support_y: Annotated[Tensor, Shape("M d_y")],
        query_x: Annotated[Tensor, Shape("Q *x")],
    ) -> Annotated[Tensor, Shape("Q d_y")]:
        """Learn one task and predict its queries.

        Args:
            support_x: Inputs of the task's shape.
            support_y: Targets, one-hot for classes.
            query_x: Inputs.

        Raises:
            ValueError: A shape does not fit; the message names it.
        """
        learner = self.pack.learner
        x_shape, y_shape = learner.shape.x, (learner.shape.d_y,)
        for name, value, wanted in (
            ("support_x", support_x, x_shape),
            ("support_y", support_y, y_shape),
            ("query_x", query_x, x_shape),
        ):
            if value.ndim == 0 or tuple(value.shape[1:]) != wanted or not len(value):
                text = ", ".join(map(str, wanted))
                raise ValueError(f"{name} must have the shape (n, {text}) with n >= 1, got {tuple(value.shape)}")
        if len(support_x) != len(support_y):
            raise ValueError(f"support_x and support_y must be equally long, got {len(support_x)} and {len(support_y)}")
        device = self.pack.device.device
        x, y, query = (value.float()[None, None].to(device) for value in (support_x, support_y, query_x))
        unknown = y.new_zeros(1, 1, query.shape[2], y.shape[3])
        params = self.pack.params(self.pack.state.best_weights)
        with arithmetic(self.run.precision, self.pack.device.device):
            fast = learner.adapt(params, Episode(x, y, query, unknown))
            return learner.predict(params, fast, query)[0, 0].cpu()
