"""Where the tensors that an update makes for itself lie in one piece of memory, as small as it can be."""

import bisect
from collections.abc import Hashable, Mapping
from typing import Final

ALIGNED: Final = 64
"""Bytes, as PyTorch's own tensors are: products may round otherwise elsewhere."""


def memory_plan(
    sizes: Mapping[Hashable, int], first: Mapping[Hashable, int], last: Mapping[Hashable, int]
) -> tuple[dict[Hashable, int], int]:
    """Places of what is needed from a first to a last step; two share one if they are not needed at the same time.

    Args:
        sizes: Bytes of each.
        first: Its first step; what has none has no place.
        last: Its last step.

    Returns:
        Where each begins, and the bytes of the whole.
    """
    begins, ends = _by_step(first), _by_step(last)
    memory, places = _Memory(), dict[Hashable, int]()
    for step in sorted({*begins, *ends}):
        for key in begins.get(step, ()):
            places[key] = memory.take(sizes[key])
        for key in ends.get(step, ()):
            memory.give_back(places[key], sizes[key])
    return places, memory.size


def _by_step(steps: Mapping[Hashable, int]) -> dict[int, list[Hashable]]:
    found: dict[int, list[Hashable]] = {}
    for key, step in steps.items():
        found.setdefault(step, []).append(key)
    return found


class _Memory:
    """Hands out pieces of a growing memory, the smallest free one that is large enough first."""

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []  # place and size, by place; no two touch

    def take(self, size: int) -> int:
        size = _aligned(size)
        fitting = [(have, place) for place, have in self._free if have >= size]
        if not fitting:
            self.size += size
            return self.size - size
        have, place = min(fitting)
        self._free.remove((place, have))
        if have > size:
            bisect.insort(self._free, (place + size, have - size))
        return place

    def give_back(self, place: int, size: int) -> None:
        size = _aligned(size)
        at = bisect.bisect(self._free, (place, size))
        if at < len(self._free) and self._free[at][0] == place + size:
            size += self._free.pop(at)[1]
        if at > 0 and sum(self._free[at - 1]) == place:
            before, have = self._free.pop(at - 1)
            place, size = before, have + size
        bisect.insort(self._free, (place, size))


def _aligned(size: int) -> int:
    return -(-max(size, 1) // ALIGNED) * ALIGNED
