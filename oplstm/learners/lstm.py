"""The plain LSTM as a few-shot learner (Section 3): learning happens in its hidden state, its weights are fixed.

Huisman et al. (2023), "Are LSTMs Good Few-Shot Learners?", Sections 3.2 and 3.4.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from oplstm.configuration import Problems, positive
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.episode import Batch
from oplstm.episodes.losses import task_losses
from oplstm.learners.learner import Learner
from oplstm.learners.signature import VARIES
from oplstm.nets.backbone import Backbone, feature_count, features, init_backbone
from oplstm.nets.linear import init_linear, linear
from oplstm.nets.lstm_cell import State, init_lstm_stack, lstm_stack, pool_examples
from oplstm.shape import Shape
from oplstm.tensors import Inputs, Params, PerTask, Predictions, Queries

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


class Memory(NamedTuple):
    """Where the LSTM stands after some passes.

    Attributes:
        x: Inputs, the same in every pass.
        y: Targets.
        states: One (h, c) a layer, with M columns a task where examples keep their own, else one; none at first.
        fed: The channels beside x in the coming step: of every example when batched, of the next when sequential.
        carried: What queries start from; without states before the first pass.
    """

    x: Annotated[Tensor, Shape("R d_x B M")]
    y: Annotated[Tensor, Shape("R d_y B M")]
    states: list[State | None]
    fed: Annotated[Tensor, Shape("R d_extra B #M")]
    carried: "Fast"


class Fast(NamedTuple):
    """What an LSTM has learned of a task: its states, and what the query is fed beside x.

    Attributes:
        states: One (h, c) a layer, with one column a task.
        extra: The channels that stand beside x; zeros, or the last step's when sequential.
        support_loss: Of the support examples, in all passes so far together, where it is trained on.
    """

    states: list[State]
    extra: Annotated[Tensor, Shape("R d_extra B #M")]
    support_loss: PerTask | None = None


class LSTM(Learner[LSTMConfig, Memory, Fast]):
    """Stacked LSTM cells and a linear read-out."""

    name = "lstm"
    config_class = LSTMConfig

    @classmethod
    def conventions_on(cls, benchmark: Benchmark) -> dict[str, dict[str, Any]]:
        """The authors' code leaves out the labels of the first pass in regression alone."""
        return {"authors": {"first_pass_labels": False}} if benchmark.shape.loss == "mse" else {}

    @property
    def _extra_channels(self) -> int:
        fed = self.config.encoding
        return self.shape.d_y * (1 + ("prediction" in fed) + ("error" in fed))

    def init(self, config: LSTMConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone, cells ``cell.0 ...`` and the read-out ``readout.weight``, ``readout.bias``."""
        params = init_backbone(config.backbone, self.shape.x, generator)
        d_x = feature_count(config.backbone, self.shape.x)
        params |= init_lstm_stack("cell", d_x + self._extra_channels, config.widths, generator)
        params["readout.weight"], params["readout.bias"] = init_linear(config.widths[-1], self.shape.d_y, generator)
        return params

    def begin(self, params: Params, support: Batch) -> Memory:
        """Inputs and targets as columns, and no states yet."""
        config = self.config
        x, y = self._inputs(params, support.support_x), _columns(support.support_y)
        runs, _, tasks, examples = x.shape
        fed = x.new_zeros(runs, self._extra_channels, tasks, examples if config.support == "batched" else 1)
        if config.support == "batched" and config.encoding == "current_target" and config.first_pass_labels:
            fed = y
        return Memory(x, y, [None] * len(config.widths), fed, Fast([], fed))

    def one_pass(self, params: Params, support: Batch, state: Memory) -> Memory:
        """All examples once; see ``Fast``."""
        return self._batched(params, state) if self.config.support == "batched" else self._sequential(params, state)

    def fast(self, state: Memory) -> Fast:
        """What the queries start from."""
        return state.carried

    def _step(
        self, params: Params, inputs: Annotated[Tensor, Shape("R d_in B M")], states: list[State | None]
    ) -> list[State]:
        return lstm_stack(params, "cell", len(self.config.widths), inputs, states)

    def _feedback(
        self, params: Params, y: Annotated[Tensor, Shape("R d_y B M")], h: Annotated[Tensor, Shape("R d B M")]
    ) -> Annotated[Tensor, Shape("R d_extra B M")]:
        """The ``previous_*`` channels that follow from targets y and hidden states h."""
        channels = [y]
        if self._extra_channels > self.shape.d_y:
            prediction = self._read_out(params, h)
            channels += [prediction] if "prediction" in self.config.encoding else []
            error = prediction - y
            error = error.square() if self.config.error == "squared" else error
            channels += [error] if "error" in self.config.encoding else []
        return torch.cat(channels, dim=1)

    def _batched(self, params: Params, memory: Memory) -> Memory:
        """Eq. 10: every example steps from the shared state, the new states are averaged."""
        config = self.config
        x, y, states, fed, carried = memory
        stepped = self._step(params, torch.cat((x, fed), dim=1), states)
        pooled = pool_examples(stepped)
        states = [(h, c if config.pool_cell else own) for (h, c), (_, own) in zip(pooled, stepped, strict=True)]
        blank = torch.zeros_like(fed[..., :1])
        fed = y if config.encoding == "current_target" else self._feedback(params, y, stepped[-1][0])
        support_loss = self._support_loss(params, y, stepped[-1][0], carried.support_loss)
        return Memory(x, y, states, fed, Fast(self._carried(pooled), blank, support_loss))

    def _support_loss(
        self,
        params: Params,
        y: Annotated[Tensor, Shape("R d_y B M")],
        h: Annotated[Tensor, Shape("R d B M")],
        before: PerTask | None,
    ) -> PerTask | None:
        """The losses of the support examples up to a pass that gave them the hidden states h; None if not wanted."""
        if self.config.loss_on != "last_and_support" or not torch.is_grad_enabled():
            return None
        losses = task_losses(_examples(self._read_out(params, h)), _examples(y), self.shape.loss)
        return losses if before is None else before + losses

    def loss_beside(self, fast: Fast) -> PerTask | None:
        """The losses of the support examples in all passes."""
        return fast.support_loss

    def _sequential(self, params: Params, memory: Memory) -> Memory:
        """Eq. 7 (Section 3.2): the examples are fed one after the other, T times, h and c carried throughout."""
        x, y, states, late, _ = memory
        current = self.config.encoding == "current_target"
        for m in range(x.shape[3]):
            x_m, y_m = x[..., m : m + 1], y[..., m : m + 1]
            stepped = self._step(params, torch.cat((x_m, y_m if current else late), dim=1), states)
            if not current:
                late = self._feedback(params, y_m, stepped[-1][0])
            states = list(stepped)
        if not current and self.config.chain == "closed":
            stepped = self._step(params, torch.cat((x[..., :1], late), dim=1), states)
            states, late = list(stepped), torch.zeros_like(late)
        return Memory(x, y, states, late, Fast(self._carried(stepped), late))

    def _carried(self, states: list[State]) -> list[State]:
        """The states as queries get them."""
        return [(h, c if self.config.query_cell == "carried" else torch.zeros_like(c)) for h, c in states]

    def predict(self, params: Params, fast: Fast, query_x: Queries) -> Predictions:
        """Each query takes one step from the state that the support set left."""
        x = self._inputs(params, query_x)
        inputs = torch.cat((x, fast.extra.expand(-1, -1, -1, x.shape[3])), dim=1)
        top = self._step(params, inputs, list(fast.states))[-1][0]
        return _examples(self._read_out(params, top))

    def _inputs(self, params: Params, x: Inputs) -> Annotated[Tensor, Shape("R d_x B M")]:
        return _columns(features(self.config.backbone, params, x))

    def _read_out(
        self, params: Params, h: Annotated[Tensor, Shape("R d B M")]
    ) -> Annotated[Tensor, Shape("R d_y B M")]:
        """The predictions that hidden states stand for."""
        rows = linear(h.flatten(2).mT, params["readout.weight"], params["readout.bias"])
        columns: Tensor = rows.mT.unflatten(2, h.shape[2:])
        return columns


def _columns(examples: Annotated[Tensor, Shape("R B M d")]) -> Annotated[Tensor, Shape("R d B M")]:
    """Features first."""
    return examples.permute(0, 3, 1, 2)


def _examples(columns: Annotated[Tensor, Shape("R d B M")]) -> Annotated[Tensor, Shape("R B M d")]:
    """Features last."""
    return columns.permute(0, 2, 3, 1)
