"""The C library's allocator and big tensors."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of <malloc.h>
_NEVER = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory in this process instead of giving it back to the kernel and asking again.

    A pack's meta-update frees and allocates the same hundreds of megabytes again and again, and the kernel clears every
    page of it each time: Conv-4 trains 1.2 to 2 times as fast without. The price: a process stays as big as it ever
    was, and that is half as much again, because blocks of all sizes lie in one heap.

    Returns:
        Whether it was done; False without glibc.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
