"""The parameters of a pack as one matrix ``(R, P)``: one row a run, so that Adam and checkpoints see one tensor."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


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

    def flatten(self, runs: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """``(R, P)`` from R parameter dictionaries."""
        return torch.stack([torch.cat([run[name].reshape(-1) for name in self.shapes]) for run in runs])

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Named views ``(R, ...)`` of ``flat (R, P)``; gradients flow back to it in one piece."""
        parts = flat.split(self._sizes, dim=1)
        return {
            name: part.view(flat.shape[0], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
