"""The usual way to write the two learners: one task at a time, with ``torch.nn`` modules and ``torch.optim.Adam``.

It exists to be measured against (``jobs.benchmark``), so it is written to be quick: the examples of a task, and for
OP-LSTM its nodes too, are the batch of the LSTM; only the tasks come one by one, their gradients summed until a
meta-batch is full. A test holds it to the same losses and updates as ours.
"""

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from oplstm.episodes.streams import TaskStream
from oplstm.learners.lstm import LSTMConfig
from oplstm.learners.op_lstm import OPLSTMConfig

Kind = Literal["LSTMCell", "LSTM"]
State = tuple[Tensor, Tensor]


class Stack(nn.Module):
    """Stacked LSTM cells that take one step on a batch of columns.

    Args:
        d_in: Input width.
        widths: Widths of the cells.
        kind: ``torch.nn.LSTMCell``, or ``torch.nn.LSTM`` with sequences of length 1.
    """

    def __init__(self, d_in: int, widths: tuple[int, ...], kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        sizes = zip((d_in, *widths), widths, strict=False)
        self.cells = nn.ModuleList([getattr(nn, kind)(before, width) for before, width in sizes])

    def forward(self, x: Tensor, states: list[State] | None) -> tuple[Tensor, list[State]]:
        """``x (n, d_in)`` and a state ``(n, d)`` a cell, or None, to the top's h and the states after."""
        after = []
        for index, cell in enumerate(self.cells):
            state = None if states is None else states[index]
            if self.kind == "LSTMCell":
                state = cell(x, state)
            else:
                _, (h, c) = cell(x[None], state and (state[0][None], state[1][None]))
                state = h[0], c[0]
            x = state[0]
            after.append(state)
        return x, after

    def load(self, params: Mapping[str, Tensor], prefix: str) -> None:
        """Take over the weights of one run of ours, whose gates come in another order."""
        names = {"w_x": "weight_ih", "w_h": "weight_hh", "b_x": "bias_ih", "b_h": "bias_hh"}
        suffix = "" if self.kind == "LSTMCell" else "_l0"
        for index, cell in enumerate(self.cells):
            for ours, theirs in names.items():
                i, f, o, candidate = params[f"{prefix}.{index}.{ours}"].chunk(4)
                cell.get_parameter(theirs + suffix).data = torch.cat((i, f, candidate, o))


class BaselineLSTM(nn.Module):
    """The batched plain LSTM (Section 3.4) on one task.

    Args:
        config: Batched, with the current target as encoding.
        kind: Which of PyTorch's LSTMs.
    """

    def __init__(self, config: LSTMConfig, kind: Kind) -> None:
        super().__init__()
        self.config = config
        self.cells = Stack(2, config.widths, kind)
        self.readout = nn.Linear(config.widths[-1], 1)

    def load(self, params: Mapping[str, Tensor]) -> None:
        """Take over the weights of one run of ours."""
        self.cells.load(params, "cell")
        self.readout.weight.data, self.readout.bias.data = params["readout.weight"], params["readout.bias"]

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predictions ``(Q, 1)`` from ``(M, 1)``, ``(M, 1)`` and ``(Q, 1)``."""
        config, examples, queries = self.config, len(support_x), len(query_x)
        labelled = torch.cat((support_x, support_y), dim=1)
        inputs = labelled if config.first_pass_labels else torch.cat((support_x, torch.zeros_like(support_y)), dim=1)
        states: list[State] | None = None
        for _ in range(config.passes):
            _, stepped = self.cells(inputs, states)
            pooled = [(h.mean(0, keepdim=True), c.mean(0, keepdim=True) if config.pool_cell else c) for h, c in stepped]
            states = [(h.expand(examples, -1), c.expand(examples, -1)) for h, c in pooled]
            inputs = labelled
        carried = config.query_cell == "carried"
        start = [(h, c.mean(0, keepdim=True) if carried else torch.zeros_like(h)) for h, c in pooled]
        blank = torch.cat((query_x, torch.zeros_like(query_x)), dim=1)
        top, _ = self.cells(blank, [(h.expand(queries, -1), c.expand(queries, -1)) for h, c in start])
        return cast(Tensor, self.readout(top))


class BaselineOPLSTM(nn.Module):
    """OP-LSTM (Section 4) on one task.

    Args:
        config: Normalised by example or over all layers; the rest as in one of the two conventions.
        kind: Which of PyTorch's LSTMs.
    """

    def __init__(self, config: OPLSTMConfig, kind: Kind) -> None:
        super().__init__()
        self.config = config
        sizes = zip((1, *config.base_widths), (*config.base_widths, 1), strict=True)
        self.base = nn.ModuleList([nn.Linear(before, width) for before, width in sizes])
        self.output, self.body = Stack(2, config.cells, kind), Stack(2, config.cells, kind)
        self.gamma = nn.Parameter(torch.tensor(config.gamma), requires_grad=config.gamma_learned)

    def load(self, params: Mapping[str, Tensor]) -> None:
        """Take over the weights of one run of ours."""
        for index, layer in enumerate(self.base):
            layer.weight.data, layer.bias.data = params[f"H.{index}"], params[f"b.{index}"]
        self.output.load(params, "output")
        self.body.load(params, "body")
        if self.config.gamma_learned:
            self.gamma.data = params["gamma"]

    def _activations(self, weights: list[Tensor], x: Tensor) -> list[Tensor]:
        activations = [x]
        for index, (weight, layer) in enumerate(zip(weights, self.base, strict=True)):
            out = functional.linear(activations[-1], weight, cast(Tensor, layer.bias))
            activations.append(out if index == len(weights) - 1 else functional.relu(out))
        return activations

    def _pooled(self, states: list[State], examples: int) -> list[State]:
        """The mean over the examples of every node's states, for each of its columns."""

        def pool(part: Tensor) -> Tensor:
            by_example = part.view(examples, -1, part.shape[1])
            return by_example.mean(0, keepdim=True).expand_as(by_example).reshape(part.shape)

        return [(pool(h), pool(c)) for h, c in states]

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Predictions ``(Q, 1)`` from ``(M, 1)``, ``(M, 1)`` and ``(Q, 1)``."""
        config, layers, examples = self.config, len(self.base), len(support_x)
        weights = [cast(Tensor, layer.weight) for layer in self.base]
        states: list[list[State] | None] = [None] * layers
        messages: list[Tensor | None] = [None] * layers
        for _ in range(config.passes):
            activations = self._activations(weights, support_x)
            sent = list(messages)
            for layer in reversed(range(layers)):
                if layer == layers - 1:
                    stack, error = self.output, support_y
                else:
                    above = (sent if config.message == "previous" else messages)[layer + 1]
                    stack = self.body
                    error = torch.zeros_like(activations[layer + 1]) if above is None else above @ weights[layer + 1]
                columns = torch.stack((activations[layer + 1], error), dim=-1).view(-1, 2)
                top, stepped = stack(columns, states[layer])
                states[layer] = self._pooled(stepped, examples) if config.pool_states else stepped
                messages[layer] = top.view(examples, -1)
            weights = self._updated(weights, [m for m in messages if m is not None], activations)
        return self._activations(weights, query_x)[-1]

    def _updated(self, weights: list[Tensor], messages: list[Tensor], activations: list[Tensor]) -> list[Tensor]:
        """Eq. 14."""
        if self.config.normalisation == "example":
            messages = [functional.normalize(message) for message in messages]
            activations = [functional.normalize(activation) for activation in activations]
            size = self.gamma / len(activations[0])
        products = [message.T @ activation for message, activation in zip(messages, activations, strict=False)]
        if self.config.normalisation == "all":
            size = self.gamma / torch.stack([product.square().sum() for product in products]).sum().sqrt()
        return [weight + size * product for weight, product in zip(weights, products, strict=True)]


class BaselineTraining:
    """Meta-training as it is usually written.

    Args:
        model: One of the two above.
        stream: Where its tasks come from, one at a time.
        meta_batch_size: Tasks a meta-update.
        lr: Adam's learning rate.
    """

    def __init__(
        self, model: BaselineLSTM | BaselineOPLSTM, stream: TaskStream, *, meta_batch_size: int, lr: float
    ) -> None:
        self._model, self._stream, self._meta_batch_size = model, stream, meta_batch_size
        self._adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr, fused=True)
        self._tasks = 0

    def step(self) -> float:
        """One meta-update; returns the mean loss of its tasks before it."""
        total = 0.0
        for _ in range(self._meta_batch_size):
            task = self._stream.tasks(self._tasks, 1)
            prediction = self._model(task.support_x[0, 0], task.support_y[0, 0], task.query_x[0, 0])
            loss = functional.mse_loss(prediction, task.query_y[0, 0]) / self._meta_batch_size
            loss.backward()
            total += loss.item()
            self._tasks += 1
        self._adam.step()
        self._adam.zero_grad()
        return total
