"""Where a pack computes."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Device:
    """Where a pack computes.

    Attributes:
        device: The device.
        dtype: Floating type of weights and episodes.
        data: The folder of imported datasets that it finds there, if any.
        capture: Whether updates on a GPU are captured as a CUDA graph; to see what that is worth, they need not be.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    data: Path | None = None
    capture: bool = True

    def place(self, tensor: Tensor) -> Tensor:
        """``tensor`` there, in that precision."""
        return tensor.to(self.device, self.dtype)
