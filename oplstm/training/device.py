"""Where a pack computes."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Device:
    """Where a pack computes, in which precision, and the folder of imported datasets it finds there, if any."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    data: Path | None = None

    def place(self, tensor: Tensor) -> Tensor:
        """``tensor`` there, in that precision."""
        return tensor.to(self.device, self.dtype)
