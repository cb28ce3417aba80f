"""Set up a training process on its core: one thread, no denormals, and memory that is kept.

A step frees and takes again the same arrays, most of them above the size from which the C library gives memory back.
"""

import torch

from infusionlaw.processes import keep_memory


def settle() -> None:
    """Make this process a training process; on a C library without `mallopt` memory stays as it is."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_memory(largest=1 << 30, free=(1 << 31) - 1)
