"""Dealing trials out to packs so that all are through at about the same time."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Hand:
    """What a pack has before the deal.

    Attributes:
        load: The predicted cost of what it holds.
        room: Trials that it can take.
    """

    load: float
    room: int


def deal(costs: Sequence[float], hands: Sequence[Hand]) -> list[list[int]]:
    """Give each trial in turn to the pack that has the least to do and room for it.

    With the longest first this is Graham's LPT rule (1969): the most loaded of S packs has at most 4/3 - 1/(3 S) times
    the load of the best deal there is, where room is no matter.

    Args:
        costs: Predicted, of the trials in the order in which they are dealt.
        hands: Of the packs.

    Returns:
        The places of each pack's trials among ``costs``; those for which nobody has room are in none.
    """
    dealt: list[list[int]] = [[] for _ in hands]
    waiting = [(hand.load, place) for place, hand in enumerate(hands) if hand.room > 0]
    heapq.heapify(waiting)
    for trial, cost in enumerate(costs):
        if not waiting:
            break
        load, place = waiting[0]
        dealt[place].append(trial)
        if len(dealt[place]) < hands[place].room:
            heapq.heapreplace(waiting, (load + cost, place))
        else:
            heapq.heappop(waiting)
    return dealt
