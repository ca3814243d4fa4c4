"""The tensor operations of an update, written down as they run, below autograd."""

from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

MOST_BYTES: Final = 256 << 20
"""Of new tensors in an update that is recorded: all are kept until it has ended."""
MOST_BYTES_A_CALL: Final = 128 << 10
"""Larger operations take their time anyway."""
FEW: Final = 100
"""Calls whose size says nothing yet."""
_UNREPEATABLE: Final = (
    torch.Tag.dynamic_output_shape,
    torch.Tag.data_dependent_output,
    torch.Tag.nondeterministic_seeded,
)


class Call(NamedTuple):
    """An operation as it was called."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[Tensor | None, ...]


class Recording(TorchDispatchMode):
    """What was computed in the block. It runs as always, whatever becomes of the recording.

    Attributes:
        calls: In their order.
        problem: Why they cannot be repeated; None if they can.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.problem: str | None = None
        self._bytes = 0

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
            self._note(func, args, kwargs, results)
        return result

    def _note(self, func: Any, args: Any, kwargs: Any, results: tuple[Any, ...]) -> None:
        known = all(one is None or isinstance(one, Tensor) for one in results)  # None: a gradient that nobody wants
        if not known or any(tag in func.tags for tag in _UNREPEATABLE):
            self._give_up(f"{func} is not the same every time")
            return
        self.calls.append(Call(func, args, kwargs, results))
        self._bytes += sum(one.nbytes for one in results if one is not None)
        if self._bytes > MOST_BYTES or (len(self.calls) > FEW and self._bytes > MOST_BYTES_A_CALL * len(self.calls)):
            self._give_up("its operations are large")

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        self.calls.clear()
