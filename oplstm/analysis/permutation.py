"""How much a learner's predictions depend on the order of the support set, which is a set (Section 3.3, Eq. 9)."""

import torch
from torch import Tensor

from oplstm.episodes.episode import Batch, Episode
from oplstm.learners.learner import AnyLearner
from oplstm.tensors import Params, PerTask


@torch.no_grad()
def permutation_variance(
    learner: AnyLearner, params: Params, episode: Batch, *, orders: int = 8, generator: torch.Generator
) -> PerTask:
    """Variance of a prediction over random orders of the support set, averaged over queries and outputs.

    Zero, to rounding, for whoever satisfies Eq. 9: the batched LSTM, OP-LSTM, MAML, prototypes. Every task has orders
    of its own; all runs see a task in the same ones, so that their values are paired.

    Args:
        learner: Any.
        params: Of the pack.
        episode: Support sets, and the queries whose predictions are compared.
        orders: How many, at least 2; drawn with replacement from the M! there are.
        generator: Of the random orders, on the CPU.

    Returns:
        The mean over the Q queries and d_y outputs (values, or logits of classes) of the unbiased variance over the
        orders, in squared units of the prediction.

    Raises:
        ValueError: If ``orders`` < 2.
    """
    if orders < 2:
        raise ValueError(f"orders must be >= 2, got {orders}")
    x, y = episode.support_x, episode.support_y
    tasks, examples = x.shape[1:3]
    rows = torch.arange(tasks, device=x.device)[:, None]
    predictions = []
    for _ in range(orders):
        order = torch.rand(tasks, examples, generator=generator).argsort(1).to(x.device)
        moved = Episode(x[:, rows, order], y[:, rows, order], episode.query_x, episode.query_y)
        predictions.append(learner.predict(params, learner.adapt(params, moved), episode.query_x))
    variances: Tensor = torch.stack(predictions).var(0).mean((2, 3))
    return variances


def in_eight_orders(learner: AnyLearner, params: Params, episode: Batch) -> dict[str, PerTask]:
    """The ``permutation_variance`` over the same eight orders every time, as a metric."""
    generator = torch.Generator().manual_seed(0)
    return {"permutation/variance": permutation_variance(learner, params, episode, generator=generator)}
