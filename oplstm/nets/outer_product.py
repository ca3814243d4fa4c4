"""The outer-product update of weights (Eq. 14): what nodes send, times what they were fed.

Huisman et al. (2023), "Are LSTMs Good Few-Shot Learners?", Section 4.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from oplstm.nets.arithmetic import matmul
from oplstm.shape import Shape
from oplstm.tensors import PerRun

Normalisation = Literal["example", "layer", "all", "none"]
"""What the outer products are divided by: the norm of each ``example``'s (Eq. 14), of the mean one of each ``layer``,
of the mean ones of ``all`` layers together, or nothing."""

Layers = list[tuple[Annotated[Tensor, Shape("R #B _ _")], Annotated[Tensor, Shape("R #B _")]]]
"""Weights H ``(R, B, d_out, d_in)`` and biases ``(R, B, d_out)``, a pair a layer."""
OfLayers = Sequence[Annotated[Tensor, Shape("R B M _")]]
"""The numbers of every example at the nodes of a layer, a tensor a layer."""


def outer_product_update(
    layers: Layers,
    messages: OfLayers,
    inputs: OfLayers,
    *,
    gamma: PerRun,
    normalisation: Normalisation,
    update_bias: bool,
    normalise_bias: bool = True,
) -> Layers:
    """The layers after a step (Eq. 14).

    Args:
        layers: Before it.
        messages: h, of the nodes that a layer feeds.
        inputs: a, of the nodes that feed it: a_0 to a_{L-1}.
        gamma: Step size.
        normalisation: Where the norm is taken.
        update_bias: Update biases too, as the weights of a constant input 1.
        normalise_bias: Whether that input counts in the norms; otherwise biases move by gamma times the mean message.
    """
    if update_bias and not normalise_bias:
        moved = [bias + gamma.view(-1, 1, 1) * h.mean(2) for (_, bias), h in zip(layers, messages, strict=True)]
        layers = [(weight, bias) for (weight, _), bias in zip(layers, moved, strict=True)]
        update_bias = False
    examples = inputs[0].shape[2]
    if update_bias:
        inputs = [torch.cat((a, torch.ones_like(a[..., :1])), dim=-1) for a in inputs]
    sizes = [gamma.view(-1, 1, 1, 1) / examples] * len(layers)
    if normalisation == "example":
        # The norm of an outer product is the product of the norms, so each factor is normalised by itself.
        messages, inputs = [_unit(h) for h in messages], [_unit(a) for a in inputs]
    elif normalisation != "none":
        messages = _scaled(messages, inputs, together=normalisation == "all")
    products = [matmul(h.mT, a) for h, a in zip(messages, inputs, strict=True)]  # Eq. 14
    if normalisation in ("layer", "all"):
        squares = [p.square().sum((2, 3), keepdim=True) for p in products]
        if normalisation == "all":
            squares = [torch.stack(squares).sum(0)] * len(squares)
        sizes = [gamma.view(-1, 1, 1, 1) * _inverse_root(square) for square in squares]  # the mean's 1/M cancels
    updated = []
    for (weight, bias), product, size in zip(layers, products, sizes, strict=True):
        if update_bias:
            bias = bias + (size * product[..., -1:]).squeeze(-1)
            product = product[..., :-1]
        updated.append((torch.addcmul(weight, size, product), bias))
    return updated


def _inverse_root(square: Annotated[Tensor, Shape("*rest")]) -> Annotated[Tensor, Shape("*rest")]:
    """1 / sqrt(square), and zero with a zero gradient where ``square`` is zero."""
    empty = square == 0
    return torch.where(empty, 0.0, torch.where(empty, 1.0, square).rsqrt())


def _unit(vectors: Annotated[Tensor, Shape("*rest d")]) -> Annotated[Tensor, Shape("*rest d")]:
    """``vectors`` at unit length along the last axis; a zero vector stays zero, with a finite gradient.

    They are scaled to about 1 first: a unit vector does not depend on scale, but the derivative of 1 / norm
    overflows in float32 from norms of about 1e-13 down, which dead units and small messages do reach.
    """
    largest = vectors.detach().abs().amax(-1, keepdim=True)
    vectors = vectors / torch.where(largest == 0, 1.0, largest)
    return vectors * _inverse_root(vectors.square().sum(-1, keepdim=True))


def _scaled(messages: OfLayers, inputs: OfLayers, *, together: bool) -> OfLayers:
    """``messages`` whose outer products are about 1, by layer or for all layers ``together``; see ``_unit``."""
    largest = [
        h.detach().abs().amax((2, 3), keepdim=True) * a.detach().abs().amax((2, 3), keepdim=True)
        for h, a in zip(messages, inputs, strict=True)
    ]
    if together:
        largest = [torch.stack(largest).amax(0)] * len(largest)
    return [h / torch.where(size == 0, 1.0, size) for h, size in zip(messages, largest, strict=True)]
