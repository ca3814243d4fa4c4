"""The precision of products: full, or with fewer bits where a GPU has units that are faster for it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "tf32", "bf16"]
"""Of the products in the networks; everything is kept, added up, normalised and averaged in the pack's own type.

``float32`` rounds nothing; ``tf32`` rounds factors to 10 bits of mantissa, on a GPU alone (a CPU has no such units and
computes ``float32``); ``bf16`` rounds the factors and results of linear layers, convolutions and outer products to 7
bits, on any device. LSTM cells keep at least ``tf32``, for the cell state adds up over many steps.
"""

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


def rounded(*factors: Tensor) -> tuple[Tensor, ...]:
    """The factors of a product as this precision has them."""
    return tuple(factor.bfloat16() for factor in factors) if _BF16.get() else factors


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product ``a @ b`` in this precision, of the type of ``a``."""
    left, right = rounded(a, b)
    return (left @ right).to(a.dtype)
