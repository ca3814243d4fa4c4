"""What trains runs of different shapes side by side; a learner may have such a program for runs of one family."""

from collections.abc import Mapping
from typing import Annotated, Protocol

from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.shape import Shape
from oplstm.tensors import PerRun

Weights = Mapping[str, Annotated[Tensor, Shape("...")]]
"""Parameters of one run by name, without the R axis."""


class SideBySide(Protocol):
    """Losses and meta-gradients of runs that were given with the tensors of their weights and of their gradients."""

    def losses(self, batch: Annotated[Episode, Shape("G")]) -> PerRun:
        """The training loss of every run on its own tasks, which follow on each other; adds up the gradients."""
        ...
