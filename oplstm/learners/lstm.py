"""The plain LSTM as a few-shot learner (Section 3): learning happens in its hidden state, its weights are fixed.

Huisman et al. (2023), "Are LSTMs Good Few-Shot Learners?", Sections 3.2 and 3.4.
"""

from collections.abc import Hashable, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.episode import Batch
from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.learner import Learner
from oplstm.learners.lstm_config import LSTMConfig, extra_channels
from oplstm.learners.side_by_side.lstm import SideBySideLSTM
from oplstm.learners.side_by_side.program import Weights
from oplstm.learners.signature import signature
from oplstm.nets.backbone import feature_count, features, init_backbone
from oplstm.nets.linear import init_linear, linear
from oplstm.nets.lstm_cell import State, init_lstm_stack, lstm_stack, pool_examples
from oplstm.shape import Shape
from oplstm.tensors import Inputs, Params, PerTask, Predictions, Queries


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

    @classmethod
    def family(cls, config: LSTMConfig) -> Hashable:
        """Without a backbone: batched or sequential, and whether a pass ends with one more step."""
        if config.backbone != "none":
            return signature(config)
        closes = config.support == "sequential" and config.encoding != "current_target" and config.chain == "closed"
        return config.support, closes

    @classmethod
    def side_by_side(
        cls,
        configs: Sequence[LSTMConfig],
        tasks: Sequence[int],
        *,
        shape: TaskShape,
        params: Sequence[Weights],
        grads: Sequence[Weights],
    ) -> SideBySideLSTM | None:
        """The program of a family without a backbone; see ``SideBySideLSTM``."""
        if configs[0].backbone != "none":
            return None
        return SideBySideLSTM(configs, tasks, shape=shape, params=params, grads=grads)

    @property
    def _extra_channels(self) -> int:
        return extra_channels(self.config, self.shape)

    def init(self, config: LSTMConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone, cells ``cell.0 ...`` and the read-out ``readout.weight``, ``readout.bias``."""
        params = init_backbone(config.backbone, self.shape.x, generator)
        d_x = feature_count(config.backbone, self.shape.x)
        params |= init_lstm_stack("cell", d_x + self._extra_channels, widths=config.widths, generator=generator)
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
        return lstm_stack(params, "cell", depth=len(self.config.widths), x=inputs, states=states)

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
        support_loss = self._support_loss(params, y, h=stepped[-1][0], before=carried.support_loss)
        return Memory(x, y, states, fed, Fast(self._carried(pooled), blank, support_loss))

    def _support_loss(
        self,
        params: Params,
        y: Annotated[Tensor, Shape("R d_y B M")],
        *,
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
