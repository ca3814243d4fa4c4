"""An update on a CPU as a plain list of tensor operations, without autograd and without Python around them.

Small networks wait for the calls, not for the numbers: an update of an LSTM of 40 units is thousands of operations of
a few microseconds each. So one update is recorded as it runs, below autograd, and then only its operations are
repeated, on the same tensors: the same kernels on the same numbers, so the results are those of the update itself, to
the bit. Views cost nothing any more, and what an update needs for a while lies in one piece of memory.
"""

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from oplstm.training.update.memory_plan import memory_plan
from oplstm.training.update.recorded import Call

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
_SUMS: Final = (torch.ops.aten.sum.default, torch.ops.aten.mean.default)
"""Of all numbers: those names know no tensor to put them into."""
Operation = Callable[..., Any]


class NotRepeatable(Exception):
    """The work cannot be repeated; its text says why."""


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
        steps = [step for call in calls if (step := _step(call)) is not None]
        places, self.bytes = memory_plan(*_lives(calls, steps))
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
            (
                _moved(operation, move),
                _mapped(tuple(args), move),
                {key: _mapped(one, move) for key, one in kwargs.items()},
            )
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
    found = None if any(one is None for one in results) else _into(operation)
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
            made |= {_storage(one) for one in _tensors(call.results)}
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
    shared = [_storage(one) in given for one in _tensors(call.results)]
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


def _copied(operation: Operation, results: tuple[Tensor | None, ...], *args: Any, **kwargs: Any) -> None:
    found = operation(*args, **kwargs)
    for there, one in zip(results, found if isinstance(found, list | tuple) else (found,), strict=True):
        if there is not None:
            there.copy_(one)


def _moved(operation: Operation, move: Callable[[Tensor], Tensor]) -> Operation:
    if isinstance(operation, functools.partial):
        return functools.partial(operation.func, *_mapped(operation.args, move))
    return operation


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


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


def _lives(calls: Sequence[Call], steps: Sequence[Step]) -> tuple[dict[Hashable, int], ...]:
    """Of each storage that the calls made and that is no constant: its bytes, its first step and its last."""
    constants = _constants(calls)
    making = (call for call in calls if not call.operation._schema.is_mutable and not _is_view(call))
    made = [one for call in making for one in _tensors(call.results)]
    sizes: dict[Hashable, int] = {_storage(one): one.untyped_storage().nbytes() for one in made}
    first: dict[Hashable, int] = {}
    last: dict[Hashable, int] = {}
    for number, (operation, args, kwargs) in enumerate(steps):
        held = operation.args[1] if isinstance(operation, functools.partial) else ()
        for key in map(_storage, _tensors((args, kwargs, held))):
            if key in sizes and key not in constants:
                first.setdefault(key, number)
                last[key] = number
    return sizes, first, last
