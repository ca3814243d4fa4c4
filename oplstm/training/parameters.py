"""The parameters of a pack as one matrix ``(R, P)``: one row a run, so that Adam and checkpoints see one tensor."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from oplstm.learners.learner import AnyLearner
from oplstm.learners.registry import LEARNERS
from oplstm.shape import Shape
from oplstm.training.run import RunConfig


class Layout:
    """Where each named tensor lies in a row of P numbers.

    Args:
        example: The parameters of one run, without the R axis.
    """

    def __init__(self, example: Mapping[str, Tensor]) -> None:
        self.shapes = {name: tuple(tensor.shape) for name, tensor in example.items()}
        self._sizes = [math.prod(shape) for shape in self.shapes.values()]

    @property
    def size(self) -> int:
        """P, the number of trained parameters of one run."""
        return sum(self._sizes)

    def flatten(self, runs: Sequence[Mapping[str, Tensor]]) -> Annotated[Tensor, Shape("R P")]:
        """The matrix from R parameter dictionaries."""
        return torch.stack([torch.cat([run[name].reshape(-1) for name in self.shapes]) for run in runs])

    def views(self, flat: Annotated[Tensor, Shape("R P")]) -> dict[str, Annotated[Tensor, Shape("R ...")]]:
        """Named views of ``flat``; gradients flow back to it in one piece."""
        parts = flat.split(self._sizes, dim=1)
        return {
            name: part.view(flat.shape[0], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def of_row(self, row: Annotated[Tensor, Shape("_")]) -> dict[str, Annotated[Tensor, Shape("...")]]:
        """Named views of the numbers of one run, which others may follow."""
        return {name: view[0] for name, view in self.views(row[None, : self.size]).items()}


class Kind(NamedTuple):
    """Runs that differ in nothing static.

    Attributes:
        learner: Of any of them.
        layout: Of their weights.
    """

    learner: AnyLearner
    layout: Layout

    @staticmethod
    def of(run: RunConfig, initial: Mapping[str, Tensor]) -> "Kind":
        """The kind of a run that begins with these parameters."""
        return Kind(LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape), Layout(initial))


def parameter_count(run: RunConfig) -> int:
    """P of a run."""
    learner = LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape)
    return Layout(learner.init(run.hyperparameters, torch.Generator())).size
