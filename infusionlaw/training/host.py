"""Set up a training process on its core: one thread, no denormals, and memory that is kept.

A step frees and takes again the same arrays, most of them above the size from which the C library gives memory back.
"""

import torch

from infusionlaw.processes import cores, keep_memory, room_for
from infusionlaw.training.group import together
from infusionlaw.training.recipe import OtherShape, Recipe


def settle() -> None:
    """Make this process a training process; on a C library without `mallopt` memory stays as it is."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_memory(largest=1 << 30, free=(1 << 31) - 1)


def take_idle_cores(recipe: Recipe) -> None:
    """Give a run of another architecture the cores that no other run can have, for lack of memory.

    How many follows from the run and the machine alone, so that a resumed run adds up in the same order.
    """
    if isinstance(recipe.shape, OtherShape) and not together():
        torch.set_num_threads(max(1, cores() // room_for(recipe.memory)))
