"""OP-LSTM (Section 4, Eqs. 12-17, Algorithm 1) on a fully-connected base-learner or on the last layer of Conv-4.

The weights of a base-learner are 2D hidden states H. A coordinate-wise LSTM turns every node's activation and error
message into a message of its own, and outer products of messages and inputs update H.
Huisman et al. (2023), "Are LSTMs Good Few-Shot Learners?", Section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from oplstm.configuration import Problems, positive
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.episode import Batch
from oplstm.learners.learner import Learner
from oplstm.learners.signature import VARIES
from oplstm.nets.arithmetic import matmul
from oplstm.nets.backbone import Backbone, feature_count, features, init_backbone
from oplstm.nets.batch_norm import batch_norm
from oplstm.nets.linear import init_linear, linear
from oplstm.nets.lstm_cell import State, init_lstm_stack, lstm_stack, pool_examples
from oplstm.nets.outer_product import Layers, Normalisation, OfLayers, outer_product_update
from oplstm.shape import Shape
from oplstm.tensors import Features, Params, Predictions, Queries, Scalars

MESSAGE_EPSILON = 1e-7
NODE_INPUTS = 2
"""Of a node's LSTM: its activation and its error message (Eq. 15)."""


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
        hidden_bias_init: Hidden biases start at ``zero``, or as those of a ``linear`` layer of d inputs,
            U(-1/sqrt d, 1/sqrt d) (authors, on images). With ``normed_value: linear`` they enter the LSTMs even where
            there is batch norm.
        shared_bias_init: A shared output bias starts as that of the output ``layer``, or as one of the nodes' ``cells``
            with their 2 inputs, U(-.71, .71) (authors). The LSTMs are fed it, though no softmax sees it.
        update_bias: Update the biases by the same rule, as the weights of a constant input 1. The paper does not.
        bias_normalised: Whether that rule normalises them too; otherwise they move by gamma times the mean message,
            and no norm counts them (authors).
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
    normalisation: Normalisation = "example"
    message: Literal["previous", "current"] = "previous"
    output_activation: Literal["softmax", "raw"] = "softmax"
    normed_value: Literal["activation", "linear"] = "activation"
    rescaled_messages: bool = False
    output_bias: Literal["vector", "shared"] = "vector"
    hidden_bias_init: Literal["zero", "linear"] = "zero"
    shared_bias_init: Literal["layer", "cells"] = "layer"
    update_bias: bool = False
    bias_normalised: bool = True
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
            "shared_bias_init": "cells",
            "bias_normalised": False,
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
        x: Inputs of the base-learner.
        fast: The adapted base-learner.
        states: One (h, c) a cell of the coordinate-wise LSTM of each layer; none before the first pass.
        messages: Last hidden states of each layer's nodes; none before the first pass.
    """

    x: Features
    fast: Layers
    states: list[list[State | None]]
    messages: list[Annotated[Tensor, Shape("R B M _")] | None]


class OPLSTM(Learner[OPLSTMConfig, Adaptation, Layers]):
    """A fully-connected base-learner whose weights are updated by two coordinate-wise LSTMs, ``output`` and ``body``.

    They are separate because nodes with different activation functions need different updates (Section 4.1).
    """

    name = "op_lstm"
    config_class = OPLSTMConfig
    analyses = (*Learner.analyses, "update_similarity", "update_similarity_authors")

    @classmethod
    def conventions_on(cls, benchmark: Benchmark) -> dict[str, dict[str, Any]]:
        """The authors' network for images starts with other hidden biases than that for sine."""
        return {"authors": {"hidden_bias_init": "linear"}} if benchmark.shape.loss == "cross_entropy" else {}

    @property
    def _layers(self) -> int:
        return len(self.config.base_widths) + 1

    def init(self, config: OPLSTMConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """The backbone, ``H.l`` and ``b.l`` of each layer, the cells of the LSTMs, and ``gamma`` if it is learned.

        H starts as ``torch.nn.Linear`` does; hidden biases start at zero, the output's as ``torch.nn.Linear``'s, unless
        the configuration has it otherwise. Batch norm has ``scale.l`` and ``shift.l``. Without hidden layers there is
        no ``body`` LSTM.
        """
        params = init_backbone(config.backbone, self.shape.x, generator)
        widths = (feature_count(config.backbone, self.shape.x), *config.base_widths, self.shape.d_y)
        for layer in range(self._layers):
            hidden = layer < self._layers - 1
            weight, bias = init_linear(widths[layer], widths[layer + 1], generator)
            params[f"H.{layer}"] = weight
            params[f"b.{layer}"] = torch.zeros(bias.shape) if hidden and config.hidden_bias_init == "zero" else bias
            if hidden and config.batch_norm:
                params |= {f"scale.{layer}": torch.ones(bias.shape), f"shift.{layer}": torch.zeros(bias.shape)}
        if config.output_bias == "shared":
            wider = (widths[-2] / NODE_INPUTS) ** 0.5 if config.shared_bias_init == "cells" else 1.0
            params[f"b.{self._layers - 1}"] = params[f"b.{self._layers - 1}"][:1].clone().mul_(wider)
        for part in ("output", "body")[: self._layers]:
            params |= init_lstm_stack(part, NODE_INPUTS, widths=config.cells, generator=generator)
        if config.gamma_learned:
            params["gamma"] = torch.tensor(config.gamma)
        return params

    def constants(self, config: OPLSTMConfig) -> Scalars:
        """A fixed gamma."""
        return {} if config.gamma_learned else {"gamma": torch.tensor(config.gamma)}

    @property
    def node_units(self) -> int:
        """Those of the LSTMs: all nodes of a part share the weights of one."""
        return (sum(self.config.base_widths) + self.shape.d_y) * sum(self.config.cells)

    def begin(self, params: Params, support: Batch) -> Adaptation:
        """The initial base-learner, and no states yet."""
        layers = range(self._layers)
        return Adaptation(
            features(self.config.backbone, params, support.support_x),
            [(params[f"H.{layer}"].unsqueeze(1), params[f"b.{layer}"].unsqueeze(1)) for layer in layers],
            [[None] * len(self.config.cells) for _ in layers],
            [None] * self._layers,
        )

    def one_pass(self, params: Params, support: Batch, state: Adaptation) -> Adaptation:
        """Algorithm 1, lines 5 to 15: forward, messages from the output down, and the outer-product update."""
        config, layers = self.config, self._layers
        x, fast, states, received = state
        states, messages = list(states), list(received)
        outputs, activations = self._forward(params, fast, x)
        values = self._values(outputs, activations)
        for layer in reversed(range(layers)):
            above = messages if config.message == "current" else received
            error = (
                support.support_y if layer == layers - 1 else self._propagate(fast, above, layer=layer, values=values)
            )
            stepped = self._coordinate_step(
                params, layer, activation=values[layer + 1], error=error, states=states[layer]
            )
            messages[layer] = stepped[-1][0][:, 0]
            states[layer] = list(pool_examples(stepped) if config.pool_states else stepped)
        sent: OfLayers = [m for m in messages if m is not None]
        if config.batch_norm and config.rescaled_messages:
            sent = self._rescaled(params, sent, outputs)
        fast = outer_product_update(
            fast,
            sent,
            values[:-1],
            gamma=params["gamma"],
            normalisation=config.normalisation,
            update_bias=config.update_bias,
            normalise_bias=config.bias_normalised,
        )
        return Adaptation(x, fast, states, messages)

    def fast(self, state: Adaptation) -> Layers:
        """The adapted base-learner."""
        return state.fast

    def _forward(self, params: Params, fast: Layers, x: Features) -> tuple[OfLayers, OfLayers]:
        """Eq. 13: the linear outputs of all layers, and their activations with a_0 = x first."""
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

    def _values(self, outputs: OfLayers, activations: OfLayers) -> OfLayers:
        """What stands for the activations in Eqs. 14 and 15, a_0 first."""
        values = list(activations)
        if self.config.batch_norm and self.config.normed_value == "linear":
            values[1:-1] = outputs[:-1]
        if self.shape.loss == "cross_entropy" and self.config.output_activation == "softmax":
            values[-1] = values[-1].softmax(3)
        return values

    def _rescaled(self, params: Params, messages: OfLayers, outputs: OfLayers) -> OfLayers:
        """Messages of hidden nodes as the authors' network with batch norm has them."""
        rescaled = list(messages)
        for layer, output in enumerate(outputs[:-1]):
            squares = (output - output.mean(2, keepdim=True)).square().sum(2, keepdim=True)
            scale = params[f"scale.{layer}"][:, None, None]
            rescaled[layer] = messages[layer] * scale * (squares + MESSAGE_EPSILON).rsqrt()
        return rescaled

    def _propagate(
        self, fast: Layers, above: Sequence[Tensor | None], *, layer: int, values: OfLayers
    ) -> Annotated[Tensor, Shape("R B M _")]:
        """Eq. 15, hidden layers: the message of the layer above, sent back through its H."""
        message = above[layer + 1]
        return torch.zeros_like(values[layer + 1]) if message is None else matmul(message, fast[layer + 1][0])

    def _coordinate_step(
        self,
        params: Params,
        layer: int,
        *,
        activation: Annotated[Tensor, Shape("R B M d")],
        error: Annotated[Tensor, Shape("R B M d")],
        states: Sequence[State | None],
    ) -> list[State]:
        """Eq. 16: one LSTM step of every node of a layer, for every example; columns are (B, M, node)."""
        z = torch.stack((activation, error), dim=1)  # Eq. 15
        if not self.config.second_order:
            z = z.detach()
        part = "output" if layer == self._layers - 1 else "body"
        return lstm_stack(params, part, depth=len(self.config.cells), x=z, states=states)

    def predict(self, params: Params, fast: Layers, query_x: Queries) -> Predictions:
        """Eq. 12 (Eq. 11 with any number of outputs): the base-learner with its updated weights."""
        return self._forward(params, fast, features(self.config.backbone, params, query_x))[1][-1]
