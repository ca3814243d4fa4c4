"""Hyperparameters of the plain LSTM (Huisman et al., 2023, Sections 3.2 and 3.4)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from oplstm.configuration import Problems, positive
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.signature import VARIES
from oplstm.nets.backbone import Backbone

Encoding = Literal[
    "current_target",
    "previous_target",
    "previous_target_prediction",
    "previous_target_error",
    "previous_target_prediction_error",
]


@dataclass(frozen=True, kw_only=True)
class LSTMConfig:
    """Hyperparameters of the plain LSTM. Defaults follow the paper's equations, ``authors`` its published code.

    Attributes:
        backbone: What the cells are fed of an input: all of its numbers, or its Conv-4 features.
        support: ``batched``: all examples at once, states mean-pooled (Eq. 10); ``sequential``: one after the other.
        widths: Hidden size of each stacked layer.
        passes: T, passes over the support set.
        encoding: What an example carries beside x. ``current_target`` is its own y. The ``previous_*`` encodings feed
            the target, the prediction and the error one step late: those of the example before it when sequential,
            those of the same example in the pass before it when batched; zero at first.
        chain: How the ``previous_*`` encodings go on from pass to pass, sequential alone. ``continued``: the first
            example of a pass follows the last of the pass before, and queries are fed what belongs to the last.
            ``closed`` (authors): every pass begins with zeros and ends with one more step, of the first x with what
            belongs to the last example; queries are fed zeros.
        error: What the ``previous_*`` encodings call the error: the ``difference`` prediction - target, or the
            ``squared`` one (authors).
        loss_on: Train on the query loss of the ``last`` pass, on the mean over ``every`` pass, or on the query loss of
            the last pass plus the losses of the support examples in all passes, ``last_and_support``, as they are
            predicted with whatever they are fed (what the authors' code calls "multi"). The last one batched only.
        pool_cell: Mean-pool c as well as h (Eq. 10). The authors pool h alone. Batched only.
        query_cell: Queries start from the ``carried`` c (Section 3.2), or from ``zero`` (authors).
        first_pass_labels: Feed the labels in the first pass too; on sine the authors put zeros there. Batched only.
    """

    backbone: Backbone = "none"
    support: Literal["batched", "sequential"] = "batched"
    widths: tuple[int, ...] = (40, 40)
    passes: int = field(default=4, metadata=VARIES)
    encoding: Encoding = "current_target"
    chain: Literal["continued", "closed"] = "continued"
    error: Literal["difference", "squared"] = "difference"
    loss_on: Literal["last", "every", "last_and_support"] = "last"
    pool_cell: bool = True
    query_cell: Literal["carried", "zero"] = "carried"
    first_pass_labels: bool = True

    conventions: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "authors": {"pool_cell": False, "query_cell": "zero", "chain": "closed", "error": "squared"},
    }

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "passes")
        if not self.widths or min(self.widths) < 1:
            problems.add("widths", f"must be one or more widths >= 1, got {list(self.widths)}")
        batched = self.support == "batched"
        if batched and not self.first_pass_labels and self.encoding == "current_target" and self.passes < 2:
            problems.add("passes", "must be >= 2 when first_pass_labels is false, got 1: no label would be seen")
        if batched and self.encoding != "current_target" and self.passes < 2:
            problems.add("passes", f"must be >= 2 with encoding {self.encoding}, got 1: no label would be seen")
        if not batched and self.loss_on == "last_and_support":
            problems.add("loss_on", f"must be last or every when support is {self.support}, got {self.loss_on}")


def extra_channels(config: LSTMConfig, shape: TaskShape) -> int:
    """How many channels a cell is fed beside those of x."""
    fed = config.encoding
    return shape.d_y * (1 + ("prediction" in fed) + ("error" in fed))
