"""An update on a CPU as a plain list of tensor operations, without autograd and without Python around them.

Small networks wait for the calls, not for the numbers: an update of an LSTM of 40 units is thousands of operations of
a few microseconds each. So one update is recorded as it runs, below autograd, and then only its operations are
repeated, on the same tensors: the same kernels on the same numbers, so the results are those of the update itself, to
the bit. Views cost nothing any more, and what an update needs for a while lies in one piece of memory.
"""

import functools
from collections.abc import Callable, Container, Hashable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from oplstm.training.update.memory_plan import memory_plan
from oplstm.training.update.recorded import EMPTY, ZEROS, Call, Recording, Seen, mapped, tensors_in

_COPIES: Final = ("aten::_to_copy", "aten::clone")
_QUICK: Final = frozenset(
    "add addcmul addmm baddbmm bmm cat div index_select mean mm mul neg rsqrt sigmoid sqrt sub sum tanh where".split()
)
_QUICK_IN_PLACE: Final = frozenset(
    "add_ addcmul_ addmm_ addmv_ baddbmm_ clamp_ copy_ div_ fill_ lerp_ mul_ sigmoid_ sqrt_ sub_ tanh_ zero_".split()
)
"""Called half as slowly by PyTorch's own names for them, which take the same arguments."""
_SUMS: Final = (torch.ops.aten.sum.default, torch.ops.aten.mean.default)
"""Of all numbers: those names know no tensor to put them into."""

Operation = Callable[..., Any]
Step = tuple[Operation, tuple[Any, ...], dict[str, Any]]


class Repeated:
    """Recorded calls, to be repeated.

    Args:
        recording: Without a problem.

    Attributes:
        bytes: Of the memory in which the tensors lie that the calls make for themselves.
    """

    def __init__(self, recording: Recording) -> None:
        steps = [step for call in recording.calls if (step := _step(call, recording.kept)) is not None]
        places, self.bytes = memory_plan(*_lives(steps, recording.kept))
        memory = torch.empty(self.bytes, dtype=torch.uint8).untyped_storage()

        @functools.cache
        def tensor(seen: Seen) -> Tensor:
            kept = recording.kept.get(seen.storage)
            start = seen.start + (0 if kept is not None else places[seen.storage] // seen.dtype.itemsize)
            return torch.empty(0, dtype=seen.dtype).set_(kept or memory, start, seen.shape, seen.strides)

        self._steps: list[Step] = [
            (_with_tensors(operation, tensor), mapped(args, tensor), mapped(kwargs, tensor))
            for operation, args, kwargs in steps
        ]

    @torch.no_grad()
    def __call__(self) -> None:
        """Do it all again."""
        for operation, args, kwargs in self._steps:
            operation(*args, **kwargs)


def _step(call: Call, kept: Container[int]) -> Step | None:
    """What repeats a call, into the tensors of its results; None where nothing needs to be done."""
    operation, args, kwargs, results, is_view = call
    name = operation._schema.name
    if operation._schema.is_mutable:
        return _in_place(operation), args, kwargs
    is_constant = all(one is not None and one.storage in kept for one in results)
    if is_view or is_constant or name in EMPTY:
        return None
    if name in ZEROS:
        return torch.Tensor.zero_, results, {}
    if name in _COPIES:
        return torch.Tensor.copy_, (results[0], args[0]), {}
    found = None if any(one is None for one in results) else _into(operation)
    if found is None:
        return functools.partial(_copied, operation, results), args, kwargs
    into, names = found
    return into, args, {**kwargs, **dict(zip(names, results, strict=True))}


def _in_place(operation: Any) -> Operation:
    """The quickest way to call an operation that writes to what it is given."""
    name = operation.overloadpacket.__name__
    if name in _QUICK_IN_PLACE:
        return getattr(torch.Tensor, name)  # type: ignore[no-any-return]
    outs = [name for name, _ in _arguments(operation, are_out=True)]
    return getattr(torch, name) if name in _QUICK and outs == ["out"] else operation  # type: ignore[no-any-return]


@functools.cache
def _into(operation: Any) -> tuple[Operation, list[str]] | None:
    """The same operation into given tensors, and how its arguments for them are called; None if there is none."""
    packet, arguments = operation.overloadpacket, _arguments(operation, are_out=False)
    for name in packet.overloads():
        other = getattr(packet, name)
        outs = [name for name, _ in _arguments(other, are_out=True)]
        if len(outs) == len(operation._schema.returns) and _arguments(other, are_out=False) == arguments:
            quick = packet.__name__ in _QUICK and outs == ["out"] and operation not in _SUMS
            return (getattr(torch, packet.__name__) if quick else other), outs
    return None


def _arguments(operation: Any, *, are_out: bool) -> list[tuple[str, str]]:
    return [(one.name, str(one.type)) for one in operation._schema.arguments if one.is_out == are_out]


def _copied(operation: Operation, results: tuple[Any, ...], *args: Any, **kwargs: Any) -> None:
    found = operation(*args, **kwargs)
    for there, one in zip(results, found if isinstance(found, list | tuple) else (found,), strict=True):
        if there is not None:
            there.copy_(one)


def _with_tensors(operation: Operation, tensor: Callable[[Seen], Tensor]) -> Operation:
    if isinstance(operation, functools.partial):
        return functools.partial(operation.func, *mapped(operation.args, tensor))
    return operation


def _lives(
    steps: Sequence[Step], kept: Container[int]
) -> tuple[dict[Hashable, int], dict[Hashable, int], dict[Hashable, int]]:
    """Of each storage that the work makes for itself: its bytes, its first step and its last."""
    sizes: dict[Hashable, int] = {}
    first: dict[Hashable, int] = {}
    last: dict[Hashable, int] = {}
    for number, (operation, args, kwargs) in enumerate(steps):
        held = operation.args[1] if isinstance(operation, functools.partial) else ()
        for seen in tensors_in((args, kwargs, held)):
            if seen.storage not in kept:
                sizes[seen.storage] = seen.nbytes
                first.setdefault(seen.storage, number)
                last[seen.storage] = number
    return sizes, first, last
