"""Dealing trials out: equal loads, room, and nothing left to chance."""

import itertools

import pytest

from jobs.sweep.dealing import Hand, deal


def loads(costs, hands, dealt):
    return [hand.load + sum(costs[place] for place in places) for hand, places in zip(hands, dealt, strict=True)]


def best(costs, packs):
    """The least load of the most loaded pack, of all ways to deal."""
    ways = itertools.product(range(packs), repeat=len(costs))
    return min(max(sum(c for c, p in zip(costs, way, strict=True) if p == pack) for pack in range(packs))
               for way in ways)  # fmt: skip


@pytest.mark.parametrize("costs", [(7, 6, 5, 4, 3, 2), (9, 9, 1, 1, 1), (5, 5, 4, 4, 3, 3, 3), (8,)])
@pytest.mark.parametrize("packs", [1, 2, 3])
def test_the_longest_first_is_close_to_the_best_deal_there_is(costs, packs):
    hands = [Hand(0.0, 99)] * packs
    dealt = deal(costs, hands)
    assert sorted(itertools.chain(*dealt)) == list(range(len(costs)))
    assert max(loads(costs, hands, dealt)) <= best(costs, packs) * (4 / 3 - 1 / (3 * packs)) + 1e-9


def test_every_pack_gets_some_of_the_long_ones():
    assert deal((9, 9, 1, 1), [Hand(0.0, 9)] * 2) == [[0, 2], [1, 3]]


def test_what_a_pack_holds_already_counts():
    assert deal((3, 3, 2), [Hand(0.0, 9), Hand(5.0, 9)]) == [[0, 1], [2]]


def test_nobody_gets_more_than_there_is_room_for():
    assert deal((3, 2, 1), [Hand(0.0, 1), Hand(9.0, 1)]) == [[0], [1]]
    assert deal((3, 2), [Hand(0.0, 0), Hand(9.0, 5)]) == [[], [0, 1]]
    assert deal((3, 2), [Hand(0.0, -1)]) == [[]]


def test_equal_ones_are_dealt_in_turn():
    assert deal((1, 1, 1, 1, 1), [Hand(0.0, 9)] * 2) == [[0, 2, 4], [1, 3]]
