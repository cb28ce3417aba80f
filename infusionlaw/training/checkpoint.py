"""Save and load checkpoints: weights and AdamW moments as safetensors, then a `checkpoint.json` that names the file.

Models that train in a batch keep one each, in their own folders, so that their runs can go on together or apart. The
folder of a stable phase has one too, of where the longest of its runs so far began to decay; longer runs go on from it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, read_json, write_json
from infusionlaw.training.model import Model

MOMENTS = ("exp_avg", "exp_avg_sq")


def step_of(folder: Path) -> int:
    """Return the step that a run's checkpoint goes on from; 0 without one."""
    path = folder / "checkpoint.json"
    return int(read_json(path)["step"]) if path.exists() else 0


def origin(folder: Path, stable: Path, decay_start: int) -> Path:
    """Return the folder from whose checkpoint a run goes on: its own, or that of its stable phase.

    The stable phase's only where the run has no checkpoint and its decay begins no earlier than that one.
    """
    return stable if not step_of(folder) and 0 < step_of(stable) <= decay_start else folder


def save(model: Model, optimiser: torch.optim.AdamW, folders: Sequence[Path], step: int) -> None:
    """Write the checkpoint of every member to its folder, in place of the one before."""
    name = f"checkpoint-{step:08d}.safetensors"
    for member, folder in enumerate(folders):
        tensors: dict[str, torch.Tensor] = {}
        for key, weight in model.named_parameters():
            state = optimiser.state[weight]
            tensors[key] = weight.detach()[member].contiguous()
            tensors |= {f"{key}/{moment}": state[moment][member].contiguous() for moment in MOMENTS}
        with atomic_path(folder / name) as part:
            save_file(tensors, part)
        write_json(folder / "checkpoint.json", {"step": step, "file": name})
        for old in folder.glob("checkpoint-*.safetensors"):
            if old.name != name:
                old.unlink()


def resume(model: Model, optimiser: torch.optim.AdamW, folders: Sequence[Path]) -> int:
    """Load the members' checkpoints, if any, and return the step to go on from, which must be the same for all."""
    steps = [step_of(folder) for folder in folders]
    if len(set(steps)) > 1:
        raise ValueError(f"models that train in one batch go on from different steps: {steps}")
    if not steps[0]:
        return 0
    members = [_load(folder, model.embedding.weight.device) for folder in folders]
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(torch.stack([tensors[key] for tensors in members]))
            optimiser.state[weight] = {
                "step": torch.tensor(float(steps[0]), device=weight.device),
                **{moment: torch.stack([tensors[f"{key}/{moment}"] for tensors in members]) for moment in MOMENTS},
            }
    return steps[0]


def _load(folder: Path, device: torch.device) -> dict[str, torch.Tensor]:
    path = folder / read_json(folder / "checkpoint.json")["file"]
    try:
        tensors: dict[str, torch.Tensor] = load_file(path, device=str(device))
    except Exception as error:
        raise InputError(f"{path}: not a readable checkpoint; remove {folder} and run again") from error
    return tensors


def remove(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for path in [folder / "checkpoint.json", *folder.glob("checkpoint-*.safetensors")]:
        path.unlink(missing_ok=True)
