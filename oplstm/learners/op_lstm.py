"""OP-LSTM (Section 4, Eqs. 12-17, Algorithm 1) on a fully-connected base-learner or on the last layer of Conv-4.

The weights of a base-learner are 2D hidden states H. A coordinate-wise LSTM turns every node's activation and error
message into a message of its own, and outer products of messages and inputs update H.
Huisman et al. (2023), "Are LSTMs Good Few-Shot Learners?", Section 4.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from oplstm.configuration import Problems, positive
from oplstm.episodes.episode import Episode
from oplstm.learners.learner import VARIES, Learner, Params
from oplstm.nets.backbone import Backbone, feature_count, features, init_backbone
from oplstm.nets.batch_norm import batch_norm
from oplstm.nets.linear import init_linear, linear
from oplstm.nets.lstm_cell import State, init_lstm_stack, lstm_stack, pool_examples
from oplstm.nets.precision import matmul

MESSAGE_EPSILON = 1e-7

Fast = list[tuple[Tensor, Tensor]]
"""The adapted base-learner: (H, b) a layer, ``(R, B, d_out, d_in)`` and ``(R, B, d_out)``."""


@dataclass(frozen=True, kw_only=True)
class OPLSTMConfig:
    """Hyperparameters of OP-LSTM. Defaults follow the paper's equations, ``authors`` its published code.

    Attributes:
        backbone: What makes the base-learner's inputs: nothing, or Conv-4, whose weights no task changes.
        base_widths: Hidden widths of the fully-connected ReLU base-learner; none leaves its output layer.
        batch_norm: Normalise hidden layers before the ReLU, by the statistics of the support or query set at hand.
        cells: Widths of the stacked cells of each coordinate-wise LSTM; the last one is a node's message, so 1.
        passes: T, passes over the support set.
        gamma: Step size of Eq. 14, or where it starts when learned.
        gamma_learned: Whether gamma is trained with the rest (authors) or fixed (paper).
        pool_states: Average the states of the LSTMs over the examples after each pass (Eq. 17); in the authors' code
            every (example, node) keeps its own.
        normalisation: Divide by the Frobenius norm of each ``example``'s outer product (Eq. 14), of the mean outer
            product of each ``layer``, of the mean outer products of ``all`` layers together (authors), or of
            ``none``.
        message: What hidden layers receive from the layer above: its ``previous`` hidden states, h_t (Eq. 15), or
            those ``current`` in this pass, h_{t+1} (authors).
        output_activation: What Eq. 15 calls the activation of an output node of a classifier: the ``softmax``, or the
            ``raw`` logit (authors).
        normed_value: With batch norm, what stands for a hidden node's activation in Eqs. 14 and 15: its
            ``activation``, or its ``linear`` output, from before batch norm and ReLU (authors).
        rescaled_messages: With batch norm, multiply the messages of hidden nodes in Eq. 14 by scale / (s sqrt(M)), s
            the node's standard deviation over the support set (authors).
        output_bias: A ``vector``, one for each output, or one ``shared`` by all (authors, on Conv-4).
        update_bias: Update the biases by the same rule, as the weights of a constant input 1. The paper does not.
        second_order: Backpropagate through the activations and messages that enter the LSTMs.
        loss_on: Train on the query loss of the ``last`` pass, or on the mean over ``every`` pass.
    """

    backbone: Backbone = "none"
    base_widths: tuple[int, ...] = (91, 91, 91)
    batch_norm: bool = False
    cells: tuple[int, ...] = (5, 5, 1)
    passes: int = field(default=9, metadata=VARIES)
    gamma: float = field(default=0.1, metadata=VARIES)
    gamma_learned: bool = False
    pool_states: bool = True
    normalisation: Literal["example", "layer", "all", "none"] = "example"
    message: Literal["previous", "current"] = "previous"
    output_activation: Literal["softmax", "raw"] = "softmax"
    normed_value: Literal["activation", "linear"] = "activation"
    rescaled_messages: bool = False
    output_bias: Literal["vector", "shared"] = "vector"
    update_bias: bool = False
    second_order: bool = True
    loss_on: Literal["last", "every"] = "last"

    conventions: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "authors": {
            "gamma": 0.025,
            "gamma_learned": True,
            "pool_states": False,
            "normalisation": "all",
            "message": "current",
            "output_activation": "raw",
            "normed_value": "linear",
            "rescaled_messages": True,
        },
    }

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "passes")
        if not self.cells or min(self.cells) < 1:
            problems.add("cells", f"must be one or more widths >= 1, got {list(self.cells)}")
        if any(width < 1 for width in self.base_widths):
            problems.add("base_widths", f"must be widths >= 1, got {list(self.base_widths)}")
        if self.update_bias and self.output_bias == "shared":
            problems.add("output_bias", "must be vector when update_bias is true: outputs would update one bias apart")
        if self.cells and self.cells[-1] != 1:
            problems.add("cells", f"must end in 1, the message of a node, got {list(self.cells)}")


class Adaptation(NamedTuple):
    """Where OP-LSTM stands after some passes.

    Attributes:
        x: Inputs of the base-learner, ``(R, B, M, d)``.
        fast: The adapted base-learner.
        states: One (h, c) a cell of the coordinate-wise LSTM of each layer; none before the first pass.
        messages: Last hidden states of each layer's nodes, ``(R, B, M, d_layer)``; none before the first pass.
    """

    x: Tensor
    fast: Fast
    states: list[list[State | None]]
    messages: list[Tensor | None]


class OPLSTM(Learner[OPLSTMConfig]):
    """A fully-connected base-learner whose weights are updated by two coordinate-wise LSTMs, ``output`` and ``body``.

    They are separate because nodes with different activation functions need different updates (Section 4.1).
    """

    name = "op_lstm"
    config_class = OPLSTMConfig

    @property
    def _layers(self) -> int:
        return len(self.config.base_widths) + 1

    def init(self, config: OPLSTMConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone, ``H.l`` and ``b.l`` of each layer, the cells of the LSTMs, and ``gamma`` if it is learned.

        H starts as ``torch.nn.Linear`` does; hidden biases start at zero, the output's as ``torch.nn.Linear``'s. Batch
        norm has ``scale.l`` and ``shift.l``. Without hidden layers there is no ``body`` LSTM.
        """
        params = init_backbone(config.backbone, self.shape.x, generator)
        widths = (feature_count(config.backbone, self.shape.x), *config.base_widths, self.shape.d_y)
        for layer in range(self._layers):
            hidden = layer < self._layers - 1
            weight, bias = init_linear(widths[layer], widths[layer + 1], generator)
            params[f"H.{layer}"] = weight
            params[f"b.{layer}"] = torch.zeros_like(bias) if hidden else bias
            if hidden and config.batch_norm:
                params |= {f"scale.{layer}": torch.ones_like(bias), f"shift.{layer}": torch.zeros_like(bias)}
        if config.output_bias == "shared":
            params[f"b.{self._layers - 1}"] = params[f"b.{self._layers - 1}"][:1].clone()
        for part in ("output", "body")[: self._layers]:
            params |= init_lstm_stack(part, 2, config.cells, generator)
        if config.gamma_learned:
            params["gamma"] = torch.tensor(config.gamma)
        return params

    def constants(self, config: OPLSTMConfig) -> dict[str, Tensor]:
        """A fixed gamma."""
        return {} if config.gamma_learned else {"gamma": torch.tensor(config.gamma)}

    def begin(self, params: Params, support: Episode) -> Adaptation:
        """The initial base-learner, and no states yet."""
        layers = range(self._layers)
        return Adaptation(
            features(self.config.backbone, params, support.support_x),
            [(params[f"H.{layer}"].unsqueeze(1), params[f"b.{layer}"].unsqueeze(1)) for layer in layers],
            [[None] * len(self.config.cells) for _ in layers],
            [None] * self._layers,
        )

    def one_pass(self, params: Params, support: Episode, state: Adaptation) -> Adaptation:
        """Algorithm 1, lines 5 to 15: forward, messages from the output down, and the outer-product update."""
        config, layers = self.config, self._layers
        x, fast, states, received = state
        states, messages = list(states), list(received)
        outputs, activations = self._forward(params, fast, x)
        values = self._values(outputs, activations)
        for layer in reversed(range(layers)):
            above = messages if config.message == "current" else received
            error = support.support_y if layer == layers - 1 else self._propagate(fast, above, layer, values)
            stepped = self._coordinate_step(params, layer, values[layer + 1], error, states[layer])
            messages[layer] = stepped[-1][0][:, 0]
            states[layer] = list(pool_examples(stepped) if config.pool_states else stepped)
        sent = [m for m in messages if m is not None]
        if config.batch_norm and config.rescaled_messages:
            sent = self._rescaled(params, sent, outputs)
        return Adaptation(x, self._update(params["gamma"], fast, sent, values[:-1]), states, messages)

    def fast(self, state: Adaptation) -> Fast:
        """The adapted base-learner."""
        return state.fast

    def _forward(self, params: Params, fast: Fast, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Eq. 13: the linear outputs of all layers, and their activations with a_0 = x first; each ``(R, B, M, d)``."""
        outputs: list[Tensor] = []
        activations = [x]
        for layer, (weight, bias) in enumerate(fast):
            outputs.append(linear(activations[-1], weight, bias))
            activation = outputs[-1]
            if layer < len(fast) - 1:
                if self.config.batch_norm:
                    activation = batch_norm(activation, params[f"scale.{layer}"], params[f"shift.{layer}"])
                activation = torch.relu(activation)
            activations.append(activation)
        return outputs, activations

    def _values(self, outputs: list[Tensor], activations: list[Tensor]) -> list[Tensor]:
        """What stands for the activations in Eqs. 14 and 15, a_0 first."""
        values = list(activations)
        if self.config.batch_norm and self.config.normed_value == "linear":
            values[1:-1] = outputs[:-1]
        if self.shape.loss == "cross_entropy" and self.config.output_activation == "softmax":
            values[-1] = values[-1].softmax(3)
        return values

    def _rescaled(self, params: Params, messages: list[Tensor], outputs: list[Tensor]) -> list[Tensor]:
        """Messages of hidden nodes as the authors' network with batch norm has them."""
        rescaled = list(messages)
        for layer, output in enumerate(outputs[:-1]):
            squares = (output - output.mean(2, keepdim=True)).square().sum(2, keepdim=True)
            scale = params[f"scale.{layer}"][:, None, None]
            rescaled[layer] = messages[layer] * scale * (squares + MESSAGE_EPSILON).rsqrt()
        return rescaled

    def _propagate(self, fast: Fast, above: list[Tensor | None], layer: int, values: list[Tensor]) -> Tensor:
        """Eq. 15, hidden layers: the message of the layer above, sent back through its H; ``(R, B, M, d_layer)``."""
        message = above[layer + 1]
        return torch.zeros_like(values[layer + 1]) if message is None else matmul(message, fast[layer + 1][0])

    def _coordinate_step(
        self, params: Params, layer: int, activation: Tensor, error: Tensor, states: list[State | None]
    ) -> list[State]:
        """Eq. 16: one LSTM step of every node of a layer, for every example; columns are (B, M, node)."""
        z = torch.stack((activation, error), dim=1)  # Eq. 15
        if not self.config.second_order:
            z = z.detach()
        part = "output" if layer == self._layers - 1 else "body"
        return lstm_stack(params, part, len(self.config.cells), z, states)

    def _update(self, gamma: Tensor, fast: Fast, messages: list[Tensor], inputs: list[Tensor]) -> Fast:
        """Eq. 14, with the norm taken where ``normalisation`` says; ``inputs`` are a_0 to a_{L-1}."""
        config = self.config
        examples = inputs[0].shape[2]
        if config.update_bias:
            inputs = [torch.cat((a, torch.ones_like(a[..., :1])), dim=-1) for a in inputs]
        sizes = [gamma.view(-1, 1, 1, 1) / examples] * len(fast)
        if config.normalisation == "example":
            # The norm of an outer product is the product of the norms, so each factor is normalised by itself.
            messages, inputs = [_unit(h) for h in messages], [_unit(a) for a in inputs]
        elif config.normalisation != "none":
            messages = _scaled(messages, inputs, together=config.normalisation == "all")
        products = [matmul(h.mT, a) for h, a in zip(messages, inputs, strict=True)]
        if config.normalisation in ("layer", "all"):
            squares = [p.square().sum((2, 3), keepdim=True) for p in products]
            if config.normalisation == "all":
                squares = [torch.stack(squares).sum(0)] * len(squares)
            sizes = [gamma.view(-1, 1, 1, 1) * _inverse_root(square) for square in squares]  # the mean's 1/M cancels
        updated = []
        for (weight, bias), product, size in zip(fast, products, sizes, strict=True):
            if config.update_bias:
                bias = bias + (size * product[..., -1:]).squeeze(-1)
                product = product[..., :-1]
            updated.append((torch.addcmul(weight, size, product), bias))
        return updated

    def predict(self, params: Params, fast: Fast, query_x: Tensor) -> Tensor:
        """Eq. 12 (Eq. 11 with any number of outputs): the base-learner with its updated weights."""
        return self._forward(params, fast, features(self.config.backbone, params, query_x))[1][-1]


def _inverse_root(square: Tensor) -> Tensor:
    """1 / sqrt(square), and zero with a zero gradient where ``square`` is zero."""
    empty = square == 0
    return torch.where(empty, 0.0, torch.where(empty, 1.0, square).rsqrt())


def _unit(vectors: Tensor) -> Tensor:
    """``vectors`` at unit length along the last axis; a zero vector stays zero, with a finite gradient.

    They are scaled to about 1 first: a unit vector does not depend on scale, but the derivative of 1 / norm
    overflows in float32 from norms of about 1e-13 down, which dead units and small messages do reach.
    """
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    vectors = vectors / torch.where(largest == 0, 1.0, largest)
    return vectors * _inverse_root(vectors.square().sum(-1, keepdim=True))


def _scaled(messages: list[Tensor], inputs: list[Tensor], *, together: bool) -> list[Tensor]:
    """``messages`` whose outer products are about 1, by layer or for all layers ``together``; see ``_unit``."""
    largest = [
        h.detach().abs().amax((2, 3), keepdim=True) * a.detach().abs().amax((2, 3), keepdim=True)
        for h, a in zip(messages, inputs, strict=True)
    ]
    if together:
        largest = [torch.stack(largest).amax(0)] * len(largest)
    return [h / torch.where(size == 0, 1.0, size) for h, size in zip(messages, largest, strict=True)]
