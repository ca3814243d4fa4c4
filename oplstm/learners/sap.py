"""SAP (Section 5): gradient steps in a subspace of operations on Conv-4, which the outer loop learns to weigh.

Huisman, Plaat & van Rijn (2023), "Subspace Adaptation Prior for Few-Shot Learning", in the form that was run for
Tables 3 and 4. Beside its weights the network has *transforms*, which leave it unchanged at first, and an *activation*
for each: tasks adapt transforms and the output layer, and mix them by the activations they share.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from oplstm.configuration import Problems, positive
from oplstm.episodes.episode import Batch
from oplstm.episodes.losses import task_losses
from oplstm.learners.gradient_step import gradient_step, per_task
from oplstm.learners.learner import Learner
from oplstm.learners.signature import VARIES
from oplstm.nets.backbone import Backbone, feature_count, init_backbone
from oplstm.nets.conv import BLOCKS, KERNEL, conv2d, conv_block, max_pool
from oplstm.nets.linear import init_linear, linear
from oplstm.shape import Shape
from oplstm.tensors import Inputs, Params, PerTask, Pictures, Predictions, Queries, Scalars, TaskWeights

Fast = dict[str, Annotated[Tensor, Shape("R B ...")]]
"""The adapted transforms and output layer by name."""

PLACES = range(BLOCKS + 1)
"""Of transforms of feature maps: 0 is the image, l the output of block l - 1, before its max-pooling."""
CORNER = (0, KERNEL - 1, 0, KERNEL - 1)
"""Zeros at the right and the bottom, so that a kernel of its top left number alone leaves an image as it is."""


@dataclass(frozen=True, kw_only=True)
class SAPConfig:
    """Hyperparameters of SAP. Both conventions are what was run for Tables 3 and 4; the paper says no more of it.

    Attributes:
        passes: T, gradient steps on the support set in meta-training.
        eval_passes: T in meta-validation and meta-test; None: as in training.
        inner_lr: Step size of the gradient steps.
        second_order: Backpropagate through the inner gradients; otherwise they count as constants.
        clip: Clamp every number of the inner gradients to [-clip, clip]; None does not.
    """

    passes: int = field(default=1, metadata=VARIES)
    eval_passes: int | None = 10
    inner_lr: float = field(default=0.0360775, metadata=VARIES)
    second_order: bool = True
    clip: float | None = 10.0

    backbone: ClassVar[Backbone] = "conv4"
    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "authors": {}}

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "passes", "eval_passes", "inner_lr", "clip")


class SAP(Learner[SAPConfig, Fast, Fast]):
    """Conv-4 with transforms of the image, of each block's kernels and feature maps, and of the logits."""

    name = "sap"
    config_class = SAPConfig

    def init(self, config: SAPConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """Conv-4, the output layer ``head``, and the transforms with their activations ``mix``.

        Transforms are ``maps.i`` of feature maps, ``kernel.l`` of the kernels of a block, and ``logits``.
        """
        params = init_backbone("conv4", self.shape.x, generator)
        maps, channels, ways = *params["conv.0.weight"].shape[:2], self.shape.d_y
        params["head.weight"], params["head.bias"] = init_linear(feature_count("conv4", self.shape.x), ways, generator)
        for place in PLACES:
            params |= _init_maps(f"maps.{place}", maps if place else channels)
        for block in range(BLOCKS):
            params |= {
                f"kernel.{block}.pairs": torch.ones(maps, maps if block else channels),
                f"kernel.{block}.outputs": torch.ones(maps),
                f"mix.kernel.{block}": torch.zeros(3),
            }
        logits = {"logits.weight": torch.eye(ways), "logits.bias": torch.zeros(ways), "mix.logits": torch.zeros(())}
        return params | logits

    def constants(self, config: SAPConfig) -> Scalars:
        """The step size."""
        return {"inner_lr": torch.tensor(config.inner_lr)}

    def begin(self, params: Params, support: Batch) -> Fast:
        """The initial transforms and output layer, for every task its own."""
        return {
            name: per_task(param, support.task_count)
            for name, param in params.items()
            if name.startswith(("maps.", "kernel.", "logits.", "head."))
        }

    def one_pass(self, params: Params, support: Batch, state: Fast) -> Fast:
        """Transforms and output layer after a gradient step on the mean loss of the whole support set."""
        config = self.config

        def support_loss(weights: TaskWeights) -> PerTask:
            logits = self._forward({**params, **weights}, support.support_x)
            return task_losses(logits, support.support_y, self.shape.loss)

        return gradient_step(
            support_loss, state, params["inner_lr"], second_order=config.second_order, clip=config.clip
        )

    def fast(self, state: Fast) -> Fast:
        """All of it."""
        return state

    def predict(self, params: Params, fast: Fast, query_x: Queries) -> Predictions:
        """Conv-4 with its adapted transforms and output layer."""
        return self._forward({**params, **fast}, query_x)

    def _forward(self, weights: Params, x: Inputs) -> Annotated[Tensor, Shape("R B M d_y")]:
        x = _transform_maps(weights, 0, x)
        for block in range(BLOCKS):
            x = conv_block({**weights, f"conv.{block}.weight": _transformed_kernel(weights, block)}, block, x)
            x = max_pool(_transform_maps(weights, block + 1, x))
        logits = linear(x.flatten(3), weights["head.weight"], weights["head.bias"])
        transformed = linear(logits, weights["logits.weight"], weights["logits.bias"])
        return logits.lerp(transformed, weights["mix.logits"].sigmoid()[:, None, None, None])


def _init_maps(name: str, channels: int) -> dict[str, Tensor]:
    """Transforms of ``channels`` feature maps: three convolutions that are the identity, and two shifts by zero.

    ``u``, ``s`` and ``v`` make the 3x3 kernel u s v^T of each pair of an output and an input. All three start at zero
    or one, so a kernel that starts at zero, which has u = v = 0, never gets a gradient.
    """
    top = torch.zeros(channels, channels, KERNEL)
    top[:, :, 0] = torch.eye(channels)
    return {
        f"{name}.pointwise": torch.eye(channels),
        f"{name}.weight": functional.pad(torch.eye(channels)[..., None, None], CORNER),
        f"{name}.u": top,
        f"{name}.s": torch.ones(channels, channels),
        f"{name}.v": top.clone(),
        f"{name}.shift": torch.zeros(()),
        f"{name}.shifts": torch.zeros(channels),
        f"mix.{name}.convolution": torch.zeros(4),
        f"mix.{name}.shift": torch.zeros(3),
    }


def _transform_maps(weights: Params, place: int, x: Pictures) -> Pictures:
    """The mixture of x and its three convolutions, then that of the result and its two shifts.

    A mixture of convolutions is the convolution by the mixture of their kernels.
    """
    name = f"maps.{place}"
    mix = weights[f"mix.{name}.convolution"].softmax(1)[..., None, None, None]  # (R, 4, 1, 1, 1)
    identity = torch.eye(x.shape[3], dtype=x.dtype, device=x.device)
    pointwise = mix[:, 0] * identity + mix[:, 1] * weights[f"{name}.pointwise"]  # (R, B, c, c)
    u, s, v = (weights[f"{name}.{part}"] for part in "usv")
    separable = (u * s.unsqueeze(-1)).unsqueeze(-1) * v.unsqueeze(-2)  # (R, B, c, c, 3, 3)
    mix = mix[..., None, None]
    kernel = mix[:, 2] * weights[f"{name}.weight"] + mix[:, 3] * separable
    kernel = kernel + functional.pad(pointwise[..., None, None], CORNER)
    mix = weights[f"mix.{name}.shift"].softmax(1)[..., None, None]  # (R, 3, 1, 1)
    shift = mix[:, 1] * weights[f"{name}.shift"].unsqueeze(-1) + mix[:, 2] * weights[f"{name}.shifts"]  # (R, B, c)
    return conv2d(functional.pad(x, CORNER), kernel, shift, padding=0)


def _transformed_kernel(weights: Params, block: int) -> Annotated[Tensor, Shape("R #B c_out c_in 3 3")]:
    """The mixture of a block's kernels, the same scaled by pairs of maps, and by output maps."""
    mix = weights[f"mix.kernel.{block}"].softmax(1)[..., None, None, None]  # (R, 3, 1, 1, 1)
    pairs, outputs = weights[f"kernel.{block}.pairs"], weights[f"kernel.{block}.outputs"].unsqueeze(-1)
    scale = mix[:, 0] + mix[:, 1] * pairs + mix[:, 2] * outputs  # (R, B, c_out, c_in)
    return weights[f"conv.{block}.weight"].unsqueeze(1) * scale[..., None, None]
