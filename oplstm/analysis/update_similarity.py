"""How OP-LSTM's update of the last layer compares with gradient descent's and with prototypes (Section 5.4, Fig. 6).

Huisman et al. (2023), "Are LSTMs Good Few-Shot Learners?".
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from oplstm.episodes.episode import Batch
from oplstm.learners.op_lstm import OPLSTM
from oplstm.nets.linear import linear
from oplstm.shape import Shape
from oplstm.tensors import Features, Inputs, Params, PerTask

PREFIX = "similarity"


@torch.no_grad()
def update_similarity(
    learner: OPLSTM,
    params: Params,
    support: Batch,
    *,
    lr: float = 0.01,
    convention: Literal["paper", "authors"] = "paper",
) -> dict[str, PerTask]:
    """Cosine similarity and Euclidean distance of OP-LSTM's last-layer update to two other updates, for every task.

    OP-LSTM's update is H_T - H_0. That of gradient descent is H_GD - H_0: T steps from the same H_0 on the support
    loss (the mean of the cross-entropy, or of the squared error), for H alone, its bias and its inputs fixed. That of
    the prototypes is H_Proto - H_0, with the rows of ``prototype_rows``; a regression has none. The authors' code
    leaves H_0 out of the last comparison: H_T with H_Proto.

    The inputs of the last layer are a_0^(L-1), what it is fed *before adaptation*: the features of the backbone, sent
    through the hidden layers with their initial H_0^(l) and b^(l) (and, with batch norm, the statistics of the support
    set). OP-LSTM itself moves those layers between its passes; the two updates it is compared with do not. With no
    hidden layers, as on Conv-4, the inputs are the same for all three.

    Args:
        learner: OP-LSTM; its ``passes`` are T.
        params: Of the pack.
        support: Its support sets; queries are not looked at.
        lr: Learning rate of gradient descent; the paper's is 0.01.
        convention: Which prototype update: the ``paper``'s, or that of the ``authors``' code.

    Returns:
        ``similarity/gd_cosine``, ``similarity/gd_euclidean`` and, of a classification, ``similarity/proto_cosine`` and
        ``similarity/proto_euclidean``. The cosine with a zero vector is 0.

    Raises:
        ValueError: If ``convention`` is neither.
    """
    if convention not in ("paper", "authors"):
        raise ValueError(f"convention must be paper or authors, got {convention}")
    last = len(learner.config.base_widths)
    start, bias = params[f"H.{last}"].unsqueeze(1), params[f"b.{last}"].unsqueeze(1)
    inputs = last_layer_inputs(learner, params, support.support_x)
    adapted = learner.adapt(params, support)[last][0]
    update = adapted - start

    descended = start
    classification = learner.shape.loss == "cross_entropy"
    step = lr / inputs.shape[2] * (1 if classification else 2 / learner.shape.d_y)
    for _ in range(learner.config.passes):
        output = linear(inputs, descended, bias)
        predicted = output.softmax(3) if classification else output
        descended = descended - step * (predicted - support.support_y).mT @ inputs
    compared = {"gd": (update, descended - start)}
    if classification:
        rows = prototype_rows(inputs, support.support_y)
        compared["proto"] = (update, rows - start) if convention == "paper" else (adapted, rows)

    found = {}
    for name, (ours, theirs) in compared.items():
        found[f"{PREFIX}/{name}_cosine"] = _cosine(ours, theirs)
        found[f"{PREFIX}/{name}_euclidean"] = torch.linalg.vector_norm(ours - theirs, dim=(2, 3))
    return found


def authors_update_similarity(learner: OPLSTM, params: Params, support: Batch) -> dict[str, PerTask]:
    """``update_similarity`` by the convention of the authors' code."""
    return update_similarity(learner, params, support, convention="authors")


def last_layer_inputs(learner: OPLSTM, params: Params, x: Inputs) -> Features:
    """a_0^(L-1): what the not yet adapted base-learner feeds its last layer.

    It is the prediction of the base-learner with the identity for a last layer.
    """
    last = len(learner.config.base_widths)
    fast = [(params[f"H.{layer}"].unsqueeze(1), params[f"b.{layer}"].unsqueeze(1)) for layer in range(last)]
    weight = params[f"H.{last}"]
    identity = torch.eye(weight.shape[2], dtype=weight.dtype, device=weight.device)
    identity = identity.expand(weight.shape[0], 1, -1, -1)
    return learner.predict(params, [*fast, (identity, torch.zeros_like(identity[..., 0]))], x)


def prototype_rows(
    features: Features, labels: Annotated[Tensor, Shape("R B M N")]
) -> Annotated[Tensor, Shape("R B N d")]:
    """H_Proto: the linear layer that classifies as the nearest prototype does, but for its bias.

    Row n is +2 c_n, with c_n the mean feature of class n, and its bias would be -c_n . c_n. Eqs. 18-20 of the paper
    have the opposite signs (-2 c_n and +c_n . c_n, hence "gamma = -2"): they expand the distance d, where the score
    of class n is -d (Snell et al., 2017, and the softmax of exp(-d) just above Eq. 18).

    Args:
        features: What the layer is fed.
        labels: One-hot. The row of a class without examples is zero.
    """
    counts = labels.sum(2).clamp(min=1).unsqueeze(3)
    prototypes: Tensor = labels.mT @ features / counts
    return 2 * prototypes  # Eqs. 18-20 for the score -d


def _cosine(one: Annotated[Tensor, Shape("R B N d")], other: Annotated[Tensor, Shape("R B N d")]) -> PerTask:
    """Cosine of the angle between flattened matrices; 0 where one of them is zero."""
    product = (one * other).sum((2, 3))
    norms = torch.linalg.vector_norm(one, dim=(2, 3)) * torch.linalg.vector_norm(other, dim=(2, 3))
    return torch.where(norms > 0, product / torch.where(norms > 0, norms, 1.0), 0.0)
