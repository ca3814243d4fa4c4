"""The blocks of tasks that a CPU computes a pack's meta-gradients in: what they save for it stays near the caches.

Runs and tasks do not mix, so blocks change rounding and nothing else. Their size follows from shapes alone, and the
same pack, resumed or not, has the same blocks.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import torch
from torch import Tensor

from oplstm.shape import Shape

SAVED_AT_ONCE = 64 << 20
"""Bytes that the graph of a block keeps until its backward pass: it bounds memory too."""
TENSOR_AT_ONCE = 7 << 18
"""Bytes of a typical tensor among them, about a core's own cache: blocks of many small tensors may keep more in all.

Such small tensors cost their kernel calls, so OP-LSTM's 64 runs on sine are the quicker for being one block.
"""


def saved_bytes(forward: Callable[[], object], weights: Annotated[Tensor, Shape("rows P")]) -> list[int]:
    """Bytes of each tensor, other than views of ``weights``, that autograd saves in ``forward``."""
    found: dict[int, int] = {}
    own = weights.untyped_storage().data_ptr()

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() != own:
            numbers = 1
            for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
                numbers *= length if stride else 1  # what was expanded lies there once
            place = tensor.data_ptr()
            found[place] = max(found.get(place, 0), numbers * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept = forward()  # while the graph lives, no two tensors lie in one place
    del kept
    return list(found.values())


def tasks_at_once(saved: list[int]) -> int:
    """Tasks of a block, from the bytes of the tensors that are ``saved`` of one task.

    As many as keep ``SAVED_AT_ONCE``, or as many as make ``TENSOR_AT_ONCE`` of the tensor that an average byte lies in,
    whichever are more.
    """
    total = max(1, sum(saved))
    typical = max(1, sum(size * size for size in saved)) / total
    return max(1, int(SAVED_AT_ONCE / total), int(TENSOR_AT_ONCE / typical))


def blocks(rows: int, tasks: int, at_once: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of at most ``at_once`` of ``(rows, tasks)``, as even as can be: whole rows, or parts of one."""
    for some in _even(rows, max(1, at_once // tasks)):
        for few in _even(tasks, at_once):
            yield some, few


def _even(count: int, most: int) -> Iterator[slice]:
    parts = -(-count // most)
    for part in range(parts):
        yield slice(part * count // parts, (part + 1) * count // parts)
