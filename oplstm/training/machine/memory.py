"""Memory that a computation takes: measured from one mark to the next, and predicted for larger ones."""

import contextlib
import ctypes
import errno
import gc
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch

_NO_MEMORY: Final = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class PeakMemory:
    """The most memory in use since this object was made, of the process or, on a GPU, of its allocator.

    Args:
        device: Where the computation runs.
    """

    def __init__(self, device: torch.device) -> None:
        give_back_freed(device)
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before: float | None = float(torch.cuda.memory_reserved(device))
            return
        try:
            _forget_process_peak()
            self._before = _process_bytes("VmRSS")
        except (OSError, IndexError):  # elsewhere than on Linux
            self._before = None

    def added(self) -> float | None:
        """Bytes beyond those in use at first; None where nobody tells."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_reserved(self._device)) - self._before
        return _process_bytes("VmHWM") - self._before


def forget_peak(device: torch.device) -> None:
    """From here on ``peak_bytes`` counts, where that can be said: else it counts from the process's beginning."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        _forget_process_peak()


def peak_bytes(device: torch.device) -> float | None:
    """The most bytes of this process that were resident, or on a GPU allocated; None where nobody tells."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    try:
        return _process_bytes("VmHWM")
    except (OSError, IndexError):  # elsewhere than on Linux
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that no memory was left, on a GPU or on the machine: there is no class for both."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


def give_back_freed(device: torch.device) -> None:
    """Leave nothing of earlier computations to be used again."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def predicted_memory(measured: Mapping[int, float | None], runs: int) -> float | None:
    """Memory of a pack of ``runs``, on the line through the two largest packs that were ``measured``, by their runs.

    With one it is the line through zero, with none None.
    """
    known = [(size, taken) for size, taken in sorted(measured.items()) if taken is not None]
    if not known:
        return None
    (low, low_taken), (high, high_taken) = [(0, 0.0), *known][-2:]
    return high_taken + (runs - high) * max(0.0, high_taken - low_taken) / (high - low)


def _forget_process_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _process_bytes(name: str) -> float:
    return 1024.0 * int(Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0])
