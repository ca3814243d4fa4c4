"""What a pack knows of its runs that changes while it trains."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.episodes.measure import Measure
from oplstm.shape import Shape
from oplstm.tensors import Params, PerRun
from oplstm.training.update.adam import AdamMoments


@dataclass
class RunState:
    """The tensors that a bit-for-bit resume needs, one row a run.

    Attributes:
        weights: Trained parameters.
        moments: Adam's.
        best_weights: Weights of the best validation so far.
        best_value: Mean validation value of ``best_weights`` by the benchmark's measure, float64; the worst before the
            first point.
        best_update: Its update, int64.
        best_values: Its value on every validation task, float64.
        untrained_loss: Validation loss before training, float64.
        loss_sum: Sum of the training losses since the last validation point, float64.
        diverged_at: First update whose training loss was not finite, int64; -1 while there is none.
    """

    weights: Annotated[Tensor, Shape("R P")]
    moments: Annotated[AdamMoments, Shape("R P")]
    best_weights: Annotated[Tensor, Shape("R P")]
    best_value: PerRun
    best_update: PerRun
    best_values: Annotated[Tensor, Shape("R tasks")]
    untrained_loss: PerRun
    loss_sum: PerRun
    diverged_at: PerRun

    ROWS: ClassVar[tuple[str, ...]] = (
        "weights",
        "best_weights",
        "best_value",
        "best_update",
        "best_values",
        "untrained_loss",
        "loss_sum",
        "diverged_at",
    )

    def tensors(self) -> dict[str, Annotated[Tensor, Shape("R ...")]]:
        """Every tensor by name."""
        rows = {name: getattr(self, name) for name in self.ROWS}
        return rows | {"moments.first": self.moments.first, "moments.second": self.moments.second}

    @classmethod
    def initial(cls, weights: Annotated[Tensor, Shape("R P")], measure: Measure, validation_tasks: int) -> "RunState":
        """The state before training, where ``weights`` are."""

        def per_run(value: float, dtype: torch.dtype) -> PerRun:
            return torch.full((len(weights),), value, dtype=dtype, device=weights.device)

        return cls(
            weights=weights,
            moments=AdamMoments.zeros(weights),
            best_weights=weights.clone(),
            best_value=per_run(measure.worst, torch.float64),
            best_update=per_run(0, torch.int64),
            best_values=per_run(measure.worst, torch.float64)[:, None].repeat(1, validation_tasks),
            untrained_loss=per_run(math.inf, torch.float64),
            loss_sum=per_run(0.0, torch.float64),
            diverged_at=per_run(-1, torch.int64),
        )

    @classmethod
    def from_tensors(cls, tensors: Params) -> "RunState":
        """The state that ``tensors`` was taken from."""
        moments = AdamMoments(tensors["moments.first"], tensors["moments.second"])
        return cls(moments=moments, **{name: tensors[name] for name in cls.ROWS})

    def of_rows(self, rows: Annotated[Tensor, Shape("rows")]) -> "RunState":
        """The state of some runs, by their places."""
        return RunState.from_tensors({name: tensor.index_select(0, rows) for name, tensor in self.tensors().items()})

    def resized(self, count: int) -> "RunState":
        """With rows of so many parameters: zeros are added, or what belongs to no run is cut off."""
        change = count - self.weights.shape[1]
        if change == 0:
            return self
        tensors = self.tensors()
        for name in ("weights", "best_weights", "moments.first", "moments.second"):
            tensors[name] = functional.pad(tensors[name], (0, change)).contiguous()
        return RunState.from_tensors(tensors)
