"""Set up a training process on its core: one thread, no denormals, and memory that is kept.

A step frees and takes again the same arrays, most of them above the size from which glibc maps fresh pages for each and
gives them back at once; the kernel then has to zero them again, thousands of times a step. Kept, they cost nothing
(docs/speed.md has the figures).
"""

import ctypes

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_NEVER = (1 << 31) - 1


def settle() -> None:
    """Make this process a training process; on a C library without `mallopt` memory stays as it is."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, _NEVER)
