"""The tensor operations of an update, written down as they run, below autograd."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

MOST_CALLS: Final = 500_000
"""That are worth their memory."""
MOST_BYTES_A_CALL: Final = 4 << 20
"""Larger operations take their time anyway, and some would have to be copied."""
FEW: Final = 100
"""Calls whose size says nothing yet."""
EMPTY: Final = ("aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided")
ZEROS: Final = ("aten::zeros", "aten::zeros_like", "aten::new_zeros")
_CONSTANTS: Final = ("aten::full_like", "aten::new_full", "aten::new_ones", "aten::ones_like")
_UNREPEATABLE: Final = (
    torch.Tag.dynamic_output_shape,
    torch.Tag.data_dependent_output,
    torch.Tag.nondeterministic_seeded,
)


class Seen(NamedTuple):
    """A tensor without its numbers, which may be gone by now.

    Attributes:
        storage: Tells storages apart.
        nbytes: Of the storage.
        dtype: Its type.
        start: Its first number in the storage.
        shape: Its axes.
        strides: Theirs.
    """

    storage: int
    nbytes: int
    dtype: torch.dtype
    start: int
    shape: torch.Size
    strides: tuple[int, ...]


class Call(NamedTuple):
    """An operation as it was called.

    Attributes:
        operation: Of PyTorch's dispatcher.
        args: Its arguments, with ``Seen`` for tensors.
        kwargs: Those with names.
        results: What it returned; None is a gradient that nobody wanted.
        is_view: Whether they show what it was given.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Seen | None, ...]
    is_view: bool


class Recording(TorchDispatchMode):
    """What is computed in the block. It runs as always, whatever becomes of the recording, and keeps no memory for it.

    Attributes:
        calls: In their order.
        problem: Why they cannot be repeated; None if they can.
        kept: After the block: the storages, by their numbers, that the work does not make anew each time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.problem: str | None = None
        self._bytes = 0
        self.kept: dict[int, torch.UntypedStorage] = {}
        self._made: dict[int, StorageWeakRef] = {}  # while one is held, no other storage has its number
        self._outside: dict[int, StorageWeakRef] = {}
        self._constants: dict[int, torch.UntypedStorage] = {}

    def __exit__(self, *error: Any) -> None:
        """See that what came from outside is still there: what is not was made for this once, by other means."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        there = {key: torch.UntypedStorage._new_with_weak_ptr(ref.cdata) for key, ref in self._outside.items()}
        if any(storage is None for storage in there.values()):
            self._give_up("it takes in numbers that no operation made")
        self.kept = {**there, **self._constants}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: nothing here is compiled, and importing the compiler to tell it so takes seconds and 100 MB."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do it and write it down."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self.problem is None:
            results = tuple(result) if isinstance(result, list | tuple) else (result,)
            self._note(func, args, kwargs=kwargs, results=results)
        return result

    def _note(self, func: Any, args: Any, *, kwargs: Any, results: tuple[Any, ...]) -> None:
        known = all(one is None or isinstance(one, Tensor) for one in results)
        given = {_storage(tensor) for tensor in tensors_in((args, kwargs))}
        shared = [_storage(one) in given for one in tensors_in(results)]
        if not known or any(shared) != all(shared) or any(tag in func.tags for tag in _UNREPEATABLE):
            self._give_up(f"{func} is not the same every time")
        elif func._schema.is_mutable:
            if any(_storage(tensor) in self._constants for tensor in tensors_in(_written(func, args, kwargs))):
                self._give_up("a constant is changed")
        elif not any(shared):
            if func._schema.name in _CONSTANTS or not (given or func._schema.name in (*EMPTY, *ZEROS)):
                self._constants |= {_storage(one): one.untyped_storage() for one in tensors_in(results)}
            else:
                self._made |= {_storage(one): StorageWeakRef(one.untyped_storage()) for one in tensors_in(results)}
        written = mapped((args, kwargs, results), self._of)
        self.calls.append(Call(func, written[0], written[1], written[2], is_view=any(shared)))
        self._bytes += sum(one.nbytes for one in tensors_in(results))
        if len(self.calls) > FEW and self._bytes > MOST_BYTES_A_CALL * len(self.calls):
            self._give_up("its operations are large")
        if len(self.calls) > MOST_CALLS:
            self._give_up("its operations are too many")

    def _of(self, tensor: Tensor) -> Seen:
        storage = tensor.untyped_storage()
        key = _storage(tensor)
        if key not in self._made and key not in self._constants and key not in self._outside:
            self._outside[key] = StorageWeakRef(storage)
        start, nbytes = int(tensor.storage_offset()), storage.nbytes()
        return Seen(key, nbytes, tensor.dtype, start, tensor.shape, tensor.stride())

    def _give_up(self, problem: str) -> None:
        self.problem = self.problem or problem


def _written(func: Any, args: Any, kwargs: Any) -> list[Any]:
    """The arguments that an operation writes to."""
    arguments = func._schema.arguments
    named = {one.name: args[at] if at < len(args) else kwargs.get(one.name) for at, one in enumerate(arguments)}
    return [named[one.name] for one in arguments if one.alias_info and one.alias_info.is_write]


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def tensors_in(value: Any) -> Iterator[Any]:
    """The tensors, or what stands for them, in lists, tuples and dictionaries."""
    if isinstance(value, Tensor | Seen):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors_in(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from tensors_in(one)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """``value`` with its tensors, or what stands for them, changed."""
    if isinstance(value, Tensor | Seen):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)(mapped(one, change) for one in value)
    if isinstance(value, dict):
        return {name: mapped(one, change) for name, one in value.items()}
    return value
