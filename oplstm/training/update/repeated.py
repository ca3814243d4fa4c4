"""An update on a CPU as a plain list of tensor operations, without autograd and without Python around them.

Small networks wait for the calls, not for the numbers: an update of an LSTM of 40 units is thousands of operations of
a few microseconds each. So one update is recorded as it runs, below autograd, and then only its operations are
repeated, on the same tensors: the same kernels on the same numbers, so the results are those of the update itself, to
the bit. Views cost nothing any more, and what an update needs for a while lies in one piece of memory.
"""

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from oplstm.training.update.memory_plan import memory_plan
from oplstm.training.update.recorded import EMPTY, ZEROS, Call, Made, mapped, tensors_in

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
        calls: Of a ``Recording`` without a problem.

    Attributes:
        bytes: Of the memory in which the tensors lie that the calls make for themselves.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        steps = [step for call in calls if (step := _step(call)) is not None]
        places, self.bytes = memory_plan(*_lives(steps))
        self._memory = torch.empty(self.bytes, dtype=torch.uint8)
        placed = functools.cache(lambda made: self._at(places[made.storage], made))

        def place(tensor: Tensor | Made) -> Tensor:
            return placed(tensor) if isinstance(tensor, Made) else tensor

        self._steps: list[Step] = [
            (_placed(operation, place), mapped(args, place), mapped(kwargs, place)) for operation, args, kwargs in steps
        ]

    def _at(self, place: int, made: Made) -> Tensor:
        start = place // made.dtype.itemsize + made.start
        return torch.empty(0, dtype=made.dtype).set_(self._memory.untyped_storage(), start, made.shape, made.strides)

    @torch.no_grad()
    def __call__(self) -> None:
        """Do it all again."""
        for operation, args, kwargs in self._steps:
            operation(*args, **kwargs)


def _step(call: Call) -> Step | None:
    """What repeats a call, into the tensors of its results; None where nothing needs to be done."""
    operation, args, kwargs, results, is_view = call
    name = operation._schema.name
    if operation._schema.is_mutable:
        return _in_place(operation), args, kwargs
    is_constant = all(isinstance(one, Tensor) for one in results)
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


def _placed(operation: Operation, place: Callable[[Tensor | Made], Tensor]) -> Operation:
    if isinstance(operation, functools.partial):
        return functools.partial(operation.func, *mapped(operation.args, place))
    return operation


def _lives(steps: Sequence[Step]) -> tuple[dict[Hashable, int], dict[Hashable, int], dict[Hashable, int]]:
    """Of each storage that the work makes for itself: its bytes, its first step and its last."""
    sizes: dict[Hashable, int] = {}
    first: dict[Hashable, int] = {}
    last: dict[Hashable, int] = {}
    for number, (operation, args, kwargs) in enumerate(steps):
        held = operation.args[1] if isinstance(operation, functools.partial) else ()
        for made in tensors_in((args, kwargs, held)):
            if isinstance(made, Made):
                sizes[made.storage] = made.nbytes
                first.setdefault(made.storage, number)
                last[made.storage] = number
    return sizes, first, last
