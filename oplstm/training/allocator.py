"""The C library's allocator and big tensors."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
_LARGEST_MMAP_THRESHOLD = 1 << 25  # glibc's limit
_NEVER = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory in this process instead of giving it back to the kernel and asking again.

    A pack's meta-update frees and allocates the same hundreds of megabytes again and again, and the kernel clears every
    page of it each time. The price: a process stays as big as it ever was.

    Returns:
        Whether it was done; False without glibc.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_TRIM_THRESHOLD, _NEVER))
