"""The usual way to write the learners: one task at a time, with ``torch.nn`` and ``torch.optim.Adam``.

It exists to be measured against, so it is written to be quick: the examples of a task, and for OP-LSTM its nodes too,
are the batch; only the tasks come one by one, their gradients summed until a meta-batch is full. A test holds every
baseline to the same losses and updates as ours.
"""

from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.op_lstm import MESSAGE_EPSILON
from oplstm.nets.arithmetic import arithmetic
from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from tests.benchmark.baseline_nets import Kind, Stack, State, Weights, batch_norm, features, network


class Baseline(ABC):
    """A learner on one task.

    Args:
        run: What to train, with the loss of the last pass; the options that only ours have are not looked at.
        weights: Where training starts, by the names of our learner.
        kind: Which of PyTorch's LSTMs.
    """

    kinds: tuple[Kind, ...] = ("loop",)

    def __init__(self, run: RunConfig, weights: Weights, kind: Kind) -> None:
        self.config: Any = run.hyperparameters
        self.loss = functional.mse_loss if run.benchmark.shape.loss == "mse" else functional.cross_entropy
        prefixes = {name.partition(".")[0] for name in weights if name.endswith(".w_x")}
        self.stacks = {prefix: Stack(weights, prefix, kind) for prefix in prefixes}
        own = {name: weight for name, weight in weights.items() if name.partition(".")[0] not in prefixes}
        self.weights = {name: weight.detach().clone().requires_grad_() for name, weight in own.items()}

    @property
    def trained(self) -> list[Tensor]:
        """What Adam changes."""
        return [*self.weights.values(), *(p for stack in self.stacks.values() for p in stack.parameters())]

    @abstractmethod
    def predict(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predictions ``(Q, d_y)`` from ``(M, *x)``, ``(M, d_y)`` and ``(Q, *x)``."""


class BaselineLSTM(Baseline):
    """The batched plain LSTM (Section 3.4), fed the current target."""

    kinds = ("nn.LSTM", "nn.LSTMCell")

    def predict(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """See ``Baseline``."""
        config, cells = self.config, self.stacks["cell"]
        x, query_x = (features(config.backbone, self.weights, part) for part in (support_x, query_x))
        labelled, blank = torch.cat((x, support_y), dim=1), torch.zeros_like(support_y)
        inputs = labelled if config.first_pass_labels else torch.cat((x, blank), dim=1)
        states: list[State] | None = None
        for _ in range(config.passes):
            _, stepped = cells(inputs, states)
            means = [(h.mean(0, keepdim=True), c.mean(0, keepdim=True)) for h, c in stepped]
            pooled = [(h, c if config.pool_cell else own) for (h, c), (_, own) in zip(means, stepped, strict=True)]
            states = [(h.expand(len(x), -1), c.expand(len(x), -1)) for h, c in pooled]
            inputs = labelled
        queries, carried = len(query_x), config.query_cell == "carried"
        start = [(h, c if carried else torch.zeros_like(c)) for h, c in means]
        unlabelled = torch.cat((query_x, blank.new_zeros(queries, blank.shape[1])), dim=1)
        top, _ = cells(unlabelled, [(h.expand(queries, -1), c.expand(queries, -1)) for h, c in start])
        return functional.linear(top, self.weights["readout.weight"], self.weights["readout.bias"])


class BaselineOPLSTM(Baseline):
    """OP-LSTM (Section 4), normalised by example or over all layers."""

    kinds = ("nn.LSTM", "nn.LSTMCell")

    def predict(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """See ``Baseline``."""
        config, layers = self.config, len(self.config.base_widths) + 1
        x, query_x = (features(config.backbone, self.weights, part) for part in (support_x, query_x))
        matrices = [self.weights[f"H.{layer}"] for layer in range(layers)]
        states: list[list[State] | None] = [None] * layers
        messages: list[Tensor | None] = [None] * layers
        for _ in range(config.passes):
            outputs, activations = self._activations(matrices, x)
            values = self._values(outputs, activations)
            sent = messages if config.message == "current" else list(messages)
            for layer in reversed(range(layers)):
                stack, error = self.stacks["output"], support_y
                if layer < layers - 1:
                    stack, above = self.stacks["body"], sent[layer + 1]
                    error = torch.zeros_like(values[layer + 1]) if above is None else above @ matrices[layer + 1]
                columns = torch.stack((values[layer + 1], error), dim=-1).view(-1, 2)
                top, stepped = stack(columns if config.second_order else columns.detach(), states[layer])
                states[layer] = _pooled(stepped, len(x)) if config.pool_states else stepped
                messages[layer] = top.view(len(x), -1)
            scaled = self._rescaled([cast(Tensor, message) for message in messages], outputs)
            matrices = self._updated(matrices, scaled, values[:-1])
        return self._activations(matrices, query_x)[1][-1]

    def _activations(self, matrices: list[Tensor], x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The linear outputs of all layers, and the activations from the input on."""
        outputs, activations = [], [x]
        for layer, matrix in enumerate(matrices):
            bias = self.weights[f"b.{layer}"].expand(len(matrix))
            outputs.append(functional.linear(activations[-1], matrix, bias))
            out = outputs[-1]
            if layer < len(matrices) - 1:
                if self.config.batch_norm:
                    out = batch_norm(out, self.weights[f"scale.{layer}"], self.weights[f"shift.{layer}"])
                out = functional.relu(out)
            activations.append(out)
        return outputs, activations

    def _values(self, outputs: list[Tensor], activations: list[Tensor]) -> list[Tensor]:
        linear = self.config.batch_norm and self.config.normed_value == "linear"
        softmax = self.loss is functional.cross_entropy and self.config.output_activation == "softmax"
        hidden = outputs[:-1] if linear else activations[1:-1]
        return [activations[0], *hidden, activations[-1].softmax(1) if softmax else activations[-1]]

    def _rescaled(self, messages: list[Tensor], outputs: list[Tensor]) -> list[Tensor]:
        if not (self.config.batch_norm and self.config.rescaled_messages):
            return messages
        spreads = [(output - output.mean(0)).square().sum(0) + MESSAGE_EPSILON for output in outputs[:-1]]
        scales = [self.weights[f"scale.{layer}"] / spread.sqrt() for layer, spread in enumerate(spreads)]
        return [message * scale for message, scale in zip(messages, scales, strict=False)] + messages[-1:]

    def _updated(self, matrices: list[Tensor], messages: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
        """Eq. 14."""
        gamma = self.weights.get("gamma", self.config.gamma)
        if self.config.normalisation == "example":
            messages, inputs = ([functional.normalize(part) for part in parts] for parts in (messages, inputs))
        products = [message.T @ value for message, value in zip(messages, inputs, strict=True)]
        if self.config.normalisation == "all":
            size = gamma / torch.stack([product.square().sum() for product in products]).sum().sqrt()
        else:
            size = gamma / len(inputs[0])
        return [matrix + size * product for matrix, product in zip(matrices, products, strict=True)]


def _pooled(states: list[State], examples: int) -> list[State]:
    """The mean over the examples of every node's states, for each of its columns."""

    def pool(part: Tensor) -> Tensor:
        by_example = part.view(examples, -1, part.shape[1])
        return by_example.mean(0, keepdim=True).expand_as(by_example).reshape(part.shape)

    return [(pool(h), pool(c)) for h, c in states]


class BaselineMAML(Baseline):
    """MAML in the second order (Finn et al., 2017), ReLU networks."""

    def predict(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """See ``Baseline``."""
        fast = self.weights
        for _ in range(self.config.passes):
            loss = self.loss(self._forward(fast, support_x), support_y)
            gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
            if self.config.clip is not None:
                gradients = tuple(gradient.clamp(-self.config.clip, self.config.clip) for gradient in gradients)
            steps = zip(fast.items(), gradients, strict=True)
            fast = {name: weight - self.config.inner_lr * gradient for (name, weight), gradient in steps}
        return self._forward(fast, query_x)

    def _forward(self, weights: Weights, x: Tensor) -> Tensor:
        return network(weights, features(self.config.backbone, weights, x), layers=len(self.config.base_widths) + 1)


class BaselineProtoNet(Baseline):
    """Prototypical networks (Snell et al., 2017)."""

    def predict(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """See ``Baseline``."""
        prototypes = support_y.T @ self._embed(support_x) / support_y.sum(0)[:, None]
        return -(self._embed(query_x)[:, None] - prototypes).square().sum(2)

    def _embed(self, x: Tensor) -> Tensor:
        x = features(self.config.backbone, self.weights, x)
        return network(self.weights, x, layers=len(self.config.base_widths), head=False)


BASELINES: dict[str, type[Baseline]] = {
    "lstm": BaselineLSTM,
    "op_lstm": BaselineOPLSTM,
    "maml": BaselineMAML,
    "protonet": BaselineProtoNet,
}


class BaselineTraining:
    """Meta-training as it is usually written.

    Args:
        run: What to train; it starts from the weights and sees the tasks of our own run.
        kind: Which of PyTorch's LSTMs.
        place: Where to compute; its products round nothing, as ours do in ``float32``.
    """

    def __init__(self, run: RunConfig, kind: Kind, place: Device) -> None:
        pack = Pack([run], ["baseline"], place)
        weights = {name: views[0] for name, views in pack.layout.views(pack.state.weights).items()}
        self._model = BASELINES[run.learner](run, weights, kind)
        self._run, self._place, self._tasks = run, place, pack.tasks
        self._stream = TaskStream(pack.tasks, run.seed, split=Split.TRAIN, dtype=place.dtype)
        self._adam = torch.optim.Adam(self._model.trained, lr=run.lr, fused=True)
        self._seen = 0

    def step(self) -> Tensor:
        """One meta-update; returns the mean loss of its tasks before it."""
        with arithmetic("float32", self._place.device):
            return self._step()

    def _step(self) -> Tensor:
        losses = []
        for _ in range(self._run.meta_batch_size):
            task = self._tasks.gather(self._stream.tasks(self._seen, 1).to(self._place.device, self._place.dtype))
            support_x, support_y = task.support_x[0, 0], task.support_y[0, 0]
            prediction = self._model.predict(support_x, support_y, task.query_x[0, 0])
            loss = self._model.loss(prediction, task.query_y[0, 0]) / self._run.meta_batch_size
            loss.backward()
            losses.append(loss.detach())
            self._seen += 1
        if self._run.grad_clip is not None:
            nn.utils.clip_grad_value_(self._model.trained, self._run.grad_clip)
        self._adam.step()
        self._adam.zero_grad()
        return torch.stack(losses).sum()
