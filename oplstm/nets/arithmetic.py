"""The precision of products: full, or with fewer bits where a GPU has units that are faster for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated

import torch
from torch import Tensor

from oplstm.nets.precision import Precision
from oplstm.shape import Shape

_BF16 = ContextVar("bf16", default=False)


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in this precision, and on a GPU by algorithms that give the same numbers every time."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is made
        rounding = "ieee" if precision == "float32" else "tf32"
        torch.backends.cuda.matmul.fp32_precision = rounding
        torch.backends.cudnn.conv.fp32_precision = rounding  # type: ignore[attr-defined]  # PyTorch's own default is tf32
        torch.backends.cudnn.deterministic = True
    token = _BF16.set(precision == "bf16")
    try:
        yield
    finally:
        _BF16.reset(token)


def rounds() -> bool:
    """Whether the factors of products are rounded here."""
    return _BF16.get()


def rounded(*factors: Annotated[Tensor, Shape("...")]) -> tuple[Annotated[Tensor, Shape("...")], ...]:
    """The factors of a product as this precision has them."""
    return tuple(factor.bfloat16() for factor in factors) if rounds() else factors


def matmul(
    a: Annotated[Tensor, Shape("... M d_in")], b: Annotated[Tensor, Shape("... d_in d_out")]
) -> Annotated[Tensor, Shape("... M d_out")]:
    """The matrix product ``a @ b`` in this precision, of the type of ``a``."""
    left, right = rounded(a, b)
    return (left @ right).to(a.dtype)
