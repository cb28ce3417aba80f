"""Save and load checkpoints: weights and AdamW moments as safetensors, then a `checkpoint.json` with their checksum.

Models that train in a batch keep one each, in their own folders, so that their runs can go on together or apart. The
folder of a stable phase has one too, of where the longest of its runs so far began to decay; longer runs go on from it.

A checkpoint that is not what it was when it was written is never gone on from: it is put aside in `damaged/`, and the
run goes on from that of its stable phase or from the start.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, write_json
from infusionlaw.runs.begun import Checkpoint, begun_step, read_checkpoint
from infusionlaw.training.group import leads
from infusionlaw.training.trainable import Trainable

MOMENTS = ("exp_avg", "exp_avg_sq")


def put_aside_damaged(folder: Path, steps: int | None = None) -> None:
    """Move a checkpoint that does not hold to `damaged/` of its folder, and log why.

    steps: of the run, which must have some left.
    """
    why = _damage(folder, steps)
    if not why:
        return
    into = folder / "damaged"
    into.mkdir(exist_ok=True)
    for path in _files(folder):
        os.replace(path, into / path.name)
    logging.getLogger(__name__).warning(
        "%s: its checkpoint is put aside in %s (%s); the run goes on from before it", folder, into.name, why
    )


def _damage(folder: Path, steps: int | None) -> str:
    """Say what is wrong with a folder's checkpoint; "": it holds, or there is none."""
    try:
        head = read_checkpoint(folder)
    except (InputError, OSError) as error:
        return str(error).partition(": ")[2]
    if head is None:
        return ""
    if head.run != folder.name:
        return f"it is one of {head.run}"
    if head.step < 1 or (steps is not None and head.step >= steps):
        return f"it is of step {head.step} of {steps}"
    path = folder / head.file
    try:
        return "" if _checksum(path, head.run, head.step) == head.sha256 else f"{path.name} has changed"
    except OSError as error:
        return f"{path.name}: {error.strerror}"


def _checksum(path: Path, run: str, step: int) -> str:
    digest = hashlib.sha256(f"{run} {step}\n".encode())
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: digest).hexdigest()


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "checkpoint.json", *folder.glob("checkpoint-*.safetensors")) if path.exists()]


def origin(folder: Path, stable: Path, decay_start: int) -> Path:
    """Return the folder from whose checkpoint a run goes on: its own, or that of its stable phase.

    The stable phase's only where the run has no checkpoint and its decay begins no earlier than that one.
    """
    return stable if not begun_step(folder) and 0 < begun_step(stable) <= decay_start else folder


def save(model: Trainable, optimiser: torch.optim.AdamW, folders: Sequence[Path], step: int) -> None:
    """Write the checkpoint of every member to its folder, in place of the one before."""
    for member, folder in enumerate(folders):
        name = Checkpoint(folder.name, step, "").file
        tensors: dict[str, torch.Tensor] = {}
        for key, weight in model.named_parameters():
            state = optimiser.state[weight]
            tensors[key] = model.part(weight.detach(), member).contiguous()
            tensors |= {f"{key}/{moment}": model.part(state[moment], member).contiguous() for moment in MOMENTS}
        if not leads():
            continue
        with atomic_path(folder / name) as part:
            save_file(tensors, part)
            checksum = _checksum(part, folder.name, step)
        write_json(folder / "checkpoint.json", asdict(Checkpoint(folder.name, step, checksum)))
        for old in folder.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()


def resume(model: Trainable, optimiser: torch.optim.AdamW, folders: Sequence[Path]) -> int:
    """Load the members' checkpoints, if any, and return the step to go on from, which must be the same for all."""
    steps = [begun_step(folder) for folder in folders]
    if len(set(steps)) > 1:
        raise ValueError(f"models that train in one batch go on from different steps: {steps}")
    if not steps[0]:
        return 0
    with ExitStack() as stack, torch.no_grad():
        files = [stack.enter_context(_opened(folder, model.device)) for folder in folders]

        def read(key: str) -> torch.Tensor:
            return model.joined([file.get_tensor(key) for file in files])

        for key, weight in model.named_parameters():
            weight.copy_(read(key))
            optimiser.state[weight] = {
                "step": torch.tensor(float(steps[0]), device=weight.device),
                **{moment: read(f"{key}/{moment}") for moment in MOMENTS},
            }
    return steps[0]


def _opened(folder: Path, device: torch.device) -> Any:
    head = read_checkpoint(folder)
    assert head is not None
    return safe_open(folder / head.file, framework="pt", device=str(device))


def remove(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for path in _files(folder):
        path.unlink(missing_ok=True)
