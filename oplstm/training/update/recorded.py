"""An update on a CPU as a plain list of tensor operations, without autograd and without Python around them.

Small networks wait for the calls, not for the numbers: an update of an LSTM of 40 units is thousands of operations of
a few microseconds each. So one update is recorded as it runs, below autograd, and then only its operations are
repeated, on the same tensors: the same kernels on the same numbers, so the results are those of the update itself, to
the bit. Views cost nothing any more, and what an update needs for a while lies in one piece of memory.
"""

import bisect
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

MOST_BYTES: Final = 256 << 20
"""Of new tensors in an update that is recorded: all are kept until it has ended."""
MOST_BYTES_A_CALL: Final = 128 << 10
"""Larger operations take their time anyway."""
ALIGNED: Final = 64
"""Bytes, as PyTorch's own tensors are: products may round otherwise elsewhere."""
_EMPTY: Final = ("aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided")
_ZEROS: Final = ("aten::zeros", "aten::zeros_like", "aten::new_zeros")
_CONSTANTS: Final = ("aten::full_like", "aten::new_full", "aten::new_ones", "aten::ones_like")
_COPIES: Final = ("aten::_to_copy", "aten::clone")
_QUICK: Final = frozenset(
    "add addcmul addmm baddbmm bmm cat div index_select mean mm mul neg rsqrt sigmoid sqrt sub sum tanh where".split()
)
_QUICK_IN_PLACE: Final = frozenset(
    "add_ addcmul_ addmm_ addmv_ baddbmm_ clamp_ copy_ div_ fill_ lerp_ mul_ sigmoid_ sqrt_ sub_ tanh_ zero_".split()
)
"""Called half as slowly by PyTorch's own names for them, which take the same arguments."""
_UNREPEATABLE: Final = (
    torch.Tag.dynamic_output_shape,
    torch.Tag.data_dependent_output,
    torch.Tag.nondeterministic_seeded,
)

_SUMS: Final = (torch.ops.aten.sum.default, torch.ops.aten.mean.default)
"""Of all numbers: those names know no tensor to put them into."""
Operation = Callable[..., Any]


class NotRepeatable(Exception):
    """The work cannot be recorded; its text says why."""


class Call(NamedTuple):
    """An operation as it was called."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Tensor, ...]


class Recording(TorchDispatchMode):
    """What was computed in the block. It runs as always, whatever becomes of the recording.

    Attributes:
        calls: In their order.
        problem: Why they cannot be repeated; None if they can.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.problem: str | None = None
        self._bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it and write it down."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.problem is None:
            results = tuple(result) if isinstance(result, list | tuple) else (result,)
            self._note(func, args, kwargs, results)
        return result

    def _note(self, func: Any, args: Any, kwargs: Any, results: tuple[Any, ...]) -> None:
        if any(tag in func.tags for tag in _UNREPEATABLE) or not all(isinstance(one, Tensor) for one in results):
            self.problem = f"{func} is not the same every time"
        self.calls.append(Call(func, args, kwargs, results))
        self._bytes += sum(one.nbytes for one in results)
        if self._bytes > MOST_BYTES or (len(self.calls) > 100 and self._bytes > MOST_BYTES_A_CALL * len(self.calls)):
            self.problem = "its operations are large"
        if self.problem is not None:
            self.calls.clear()


class Repeated:
    """Recorded calls, to be repeated.

    Args:
        calls: Of a ``Recording``.

    Attributes:
        bytes: Of the memory in which the tensors lie that the calls make for themselves.

    Raises:
        NotRepeatable: One of them does not allow it.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        constants = _constants(calls)
        steps = [step for call in calls if (step := _step(call)) is not None]
        places, self.bytes = _places(calls, steps, constants)
        self._memory = torch.empty(self.bytes, dtype=torch.uint8)
        moved: dict[int, Tensor] = {}

        def move(tensor: Tensor) -> Tensor:
            place = places.get(_storage(tensor))
            if place is None:
                return tensor
            if id(tensor) not in moved:
                moved[id(tensor)] = self._at(place, tensor)
            return moved[id(tensor)]

        self._steps = [
            (_moved(operation, move), _mapped(tuple(args), move), {key: _mapped(one, move) for key, one in kwargs.items()})
            for operation, args, kwargs in steps
        ]

    def _at(self, place: int, tensor: Tensor) -> Tensor:
        start = place // tensor.element_size() + tensor.storage_offset()
        return torch.empty(0, dtype=tensor.dtype).set_(
            self._memory.untyped_storage(), start, tensor.shape, tensor.stride()
        )

    @torch.no_grad()
    def __call__(self) -> None:
        """Do it all again."""
        for operation, args, kwargs in self._steps:
            operation(*args, **kwargs)


Step = tuple[Operation, tuple[Any, ...], dict[str, Any]]


def _step(call: Call) -> Step | None:
    """What repeats a call, into the tensors of its results; None where nothing needs to be done."""
    operation, args, kwargs, results = call
    name = operation._schema.name
    if operation._schema.is_mutable:
        return _in_place(operation), args, kwargs
    if _is_view(call) or name in _EMPTY:
        return None
    if name in _ZEROS:
        return torch.Tensor.zero_, results, {}
    if name in _COPIES:
        return torch.Tensor.copy_, (results[0], args[0]), {}
    if _is_constant(call):
        return None
    found = _into(operation)
    if found is None:
        return functools.partial(_copied, operation, results), args, kwargs
    into, names = found
    return into, args, {**kwargs, **dict(zip(names, results, strict=True))}


def _constants(calls: Sequence[Call]) -> set[int]:
    """The storages of tensors that are made of nothing but numbers, such as ones.

    Raises:
        NotRepeatable: One is changed later.
    """
    made, changed = set(), set()
    for call in calls:
        if call.operation._schema.is_mutable:
            changed |= {_storage(tensor) for tensor in _tensors(_written(call))}
        elif _is_constant(call):
            made |= {_storage(one) for one in call.results}
    if made & changed:
        raise NotRepeatable("a constant is changed")
    return made


def _is_constant(call: Call) -> bool:
    """Whether it makes a tensor whose numbers depend on no other's."""
    name = call.operation._schema.name
    made_of_nothing = not any(True for _ in _tensors((call.args, call.kwargs)))
    return name in _CONSTANTS or (made_of_nothing and name not in (*_EMPTY, *_ZEROS))


def _written(call: Call) -> list[Any]:
    """The arguments that an operation writes to."""
    arguments = enumerate(call.operation._schema.arguments)
    named = {one.name: call.args[at] if at < len(call.args) else call.kwargs.get(one.name) for at, one in arguments}
    written = [one.name for one in call.operation._schema.arguments if one.alias_info and one.alias_info.is_write]
    return [named[name] for name in written]


def _is_view(call: Call) -> bool:
    given = {_storage(tensor) for tensor in _tensors((call.args, call.kwargs))}
    shared = [_storage(one) in given for one in call.results]
    if any(shared) and not all(shared):
        raise NotRepeatable(f"{call.operation} gives views and others")
    return any(shared)


def _in_place(operation: Any) -> Operation:
    """The quickest way to call an operation that writes to what it is given."""
    name = operation.overloadpacket.__name__
    if name in _QUICK_IN_PLACE:
        return getattr(torch.Tensor, name)  # type: ignore[no-any-return]
    outs = [argument.name for argument in operation._schema.arguments if argument.is_out]
    return getattr(torch, name) if name in _QUICK and outs == ["out"] else operation  # type: ignore[no-any-return]


@functools.cache
def _into(operation: Any) -> tuple[Operation, list[str]] | None:
    """The same operation into given tensors, and how its arguments for them are called; None if there is none."""
    packet, arguments = operation.overloadpacket, _arguments(operation, are_out=False)
    for name in packet.overloads():
        other = getattr(packet, name)
        outs = [name for name, _ in _arguments(other, are_out=True)]
        if len(outs) == len(operation._schema.returns) and _arguments(other, are_out=False) == arguments:
            quick = packet.__name__ in _QUICK and outs == ["out"] and (operation not in _SUMS)
            return (getattr(torch, packet.__name__) if quick else other), outs
    return None


def _arguments(operation: Any, *, are_out: bool) -> list[tuple[str, str]]:
    return [(one.name, str(one.type)) for one in operation._schema.arguments if one.is_out == are_out]


def _copied(operation: Operation, results: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> None:
    found = operation(*args, **kwargs)
    for there, one in zip(results, found if isinstance(found, list | tuple) else (found,), strict=True):
        there.copy_(one)


def _moved(operation: Operation, move: Callable[[Tensor], Tensor]) -> Operation:
    if isinstance(operation, functools.partial):
        return functools.partial(operation.func, *_mapped(operation.args, move))
    return operation


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(one, change) for one in value)
    return value


def _places(calls: Sequence[Call], steps: Sequence[Step], constants: Set[int]) -> tuple[dict[int, int], int]:
    """Where each storage that the calls made lies in one piece of memory, and how large that is.

    Two lie in one place where the one is not needed before the other no longer is.
    """
    sizes = {
        _storage(one): one.untyped_storage().nbytes()
        for call in calls
        if not call.operation._schema.is_mutable and not _is_view(call)
        for one in call.results
        if _storage(one) not in constants
    }
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, (operation, args, kwargs) in enumerate(steps):
        held = operation.args[1] if isinstance(operation, functools.partial) else ()
        for tensor in _tensors((args, kwargs, held)):
            if (key := _storage(tensor)) in sizes:
                first.setdefault(key, number)
                last[key] = number
    begins, ends = _by_step(first), _by_step(last)
    memory, places = _Memory(), {}
    for number in range(len(steps)):
        for key in begins.get(number, ()):
            places[key] = memory.take(sizes[key])
        for key in ends.get(number, ()):
            memory.give_back(places[key], sizes[key])
    return places, memory.size


def _by_step(steps: Mapping[int, int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for key, number in steps.items():
        found.setdefault(number, []).append(key)
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
