"""The processes that train one model together (`sharded.py`); elsewhere a process is alone and is the first."""

import os
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")
PATIENCE = timedelta(hours=2)  # that others have with the first, as while it writes a checkpoint


def join() -> None:
    """Join the processes that `torchrun` has started, on a GPU each or on the CPU."""
    if not torch.cuda.is_available():
        dist.init_process_group("gloo", timeout=PATIENCE)
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", timeout=PATIENCE, device_id=device)


def leave() -> None:
    """Leave them, once all are here."""
    dist.barrier()
    dist.destroy_process_group()


def together() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized()


def leads() -> bool:
    """Whether this process writes what comes of a run: it is alone, or the first."""
    return not together() or dist.get_rank() == 0


def agreed(said: bool) -> bool:
    """Return what the first process says, once all have come here."""
    if not together():
        return said
    box = [said]
    dist.broadcast_object_list(box, 0)
    return box[0]


def in_turns(work: Callable[[], T], at_once: int) -> T:
    """Do what no more than so many of them may do at the same time, and return what it gives this process."""
    own = dist.get_rank() // at_once
    for turn in range(ceil(dist.get_world_size() / at_once)):
        if turn == own:
            done = work()
        dist.barrier()
    return done


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor of which each process has a part, gathered; all must come here."""
    gather = getattr(tensor, "full_tensor", None)
    full: Tensor = gather() if gather else tensor
    return full
