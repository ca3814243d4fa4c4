"""Racing: more seeds for those leaders that cannot be told apart yet, round by round."""

import numpy as np

from jobs.promotion.seeds import Block, Flags, over_seeds, picked, seed_variance
from jobs.promotion.ties import Behind, configurations_margin, tied
from jobs.store.intervals import Values

AT_ONCE = 5
"""Configurations that get a seed in one round. Fewer find the best with fewer runs, more share a pack."""


def next_seeds(block: Block, *, left: Values, at_once: int = AT_ONCE) -> Flags:
    """Who gets one more seed in the next round: the best of those that are still tied with the best.

    Args:
        block: Scores of the leaders and of all replicates so far, ``C`` in the order of the sweep's ranking.
        left: ``(...)``, runs that may still be trained.
        at_once: Configurations a round at most.

    Returns:
        ``(..., C)``; none where the race is over, because one is left or all runs were used.
    """
    means, best, spread = over_seeds(block.means), picked(block.means), seed_variance(block)
    counts = np.maximum(block.counts, 1)
    of_best = np.take_along_axis(counts, best[..., None], -1)
    gap = means - np.take_along_axis(means, best[..., None], -1)  # inf for one without a score
    behind = Behind(gap, block.noise[..., None] * (1 / counts + 1 / of_best), np.inf)
    open_ = tied(behind, configurations_margin(behind, spread, counts=counts, best=best))
    rank = np.where(open_, means, np.inf).argsort(-1, kind="stable").argsort(-1, kind="stable")
    room = np.minimum(np.minimum(left, at_once), np.where(open_.sum(-1) > 1, open_.sum(-1), 0))
    found: Flags = rank < room[..., None]
    return found
