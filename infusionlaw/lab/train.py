"""The training loop: one model, one stream, one folder that it can be resumed from.

A checkpoint is a safetensors file of weights and AdamW moments and a `checkpoint.json` that names it, written last. On
the CPU a resumed run is bit-for-bit the run that was never stopped: the stream is seekable and nothing else is drawn.
"""

import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path, read_json, write_json, write_text
from infusionlaw.lab.mixture import Mixture
from infusionlaw.lab.model import Model
from infusionlaw.lab.recipe import Recipe

REPORT_EVERY = 25  # steps between metrics, progress and the check for a non-finite loss
Status = Literal["ok", "diverged"]


def train(
    model: Model,
    recipe: Recipe,
    mixture: Mixture,
    folder: Path,
    *,
    checkpoint_every: int,
    on_progress: Callable[[int], None] = lambda step: None,
) -> Status:
    """Train in place, from the folder's checkpoint if it has one; "diverged" as soon as the loss is not finite."""
    device = model.embedding.weight.device
    optimiser = _optimiser(model, recipe)
    start = _resume(model, optimiser, folder, device)
    metrics = _Metrics(folder / "metrics.jsonl", start)
    for step in range(start, recipe.steps):
        loss, norm = _step(model, optimiser, recipe, mixture, step, device)
        done = step + 1
        if done % REPORT_EVERY == 0 or done == recipe.steps:
            value = loss.item()
            if not math.isfinite(value) or not math.isfinite(norm.item()):
                return "diverged"
            metrics.add(done, recipe, value, norm.item())
            on_progress(done)
        if done % checkpoint_every == 0 and done < recipe.steps:
            metrics.flush()
            _save(model, optimiser, folder, done)
    metrics.flush()
    return "ok"


def time_steps(model: Model, recipe: Recipe, mixture: Mixture, seconds: float = 1.0) -> float:
    """Seconds a step takes: the median over about `seconds` of them, after two to warm up."""
    optimiser, device = _optimiser(model, recipe), model.embedding.weight.device
    took: list[float] = []
    while len(took) < 5 or sum(took) < seconds:
        start = time.perf_counter()
        loss, _ = _step(model, optimiser, recipe, mixture, len(took), device)
        loss.item()
        took.append(time.perf_counter() - start)
    return statistics.median(took[2:])


def _step(
    model: Model,
    optimiser: torch.optim.AdamW,
    recipe: Recipe,
    mixture: Mixture,
    step: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step; returns loss (nats a token) and gradient norm, still on the device."""
    blocks = torch.tensor(mixture.blocks(step * recipe.batch, recipe.batch, recipe.block), device=device)
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate_at(step)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        loss = model.loss(blocks[:, :-1], blocks[:, 1:])
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return loss.detach(), norm


def _optimiser(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only (rule 7)."""
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    norms = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=1e-8, fused=True)


def _save(model: Model, optimiser: torch.optim.AdamW, folder: Path, step: int) -> None:
    name = f"checkpoint-{step:08d}.safetensors"
    tensors: dict[str, torch.Tensor] = {}
    for key, weight in model.named_parameters():
        state = optimiser.state[weight]
        tensors |= {
            key: weight.detach(),
            f"{key}/exp_avg": state["exp_avg"],
            f"{key}/exp_avg_sq": state["exp_avg_sq"],
        }
    with atomic_path(folder / name) as part:
        save_file(tensors, part)
    write_json(folder / "checkpoint.json", {"step": step, "file": name})
    for old in folder.glob("checkpoint-*.safetensors"):
        if old.name != name:
            old.unlink()


def _resume(model: Model, optimiser: torch.optim.AdamW, folder: Path, device: torch.device) -> int:
    """Load the folder's checkpoint, if any; returns the step to go on from."""
    if not (folder / "checkpoint.json").exists():
        return 0
    head = read_json(folder / "checkpoint.json")
    try:
        tensors = load_file(folder / head["file"], device=str(device))
    except Exception as error:
        raise InputError(
            f"{folder / head['file']}: not a readable checkpoint; remove {folder} and run again"
        ) from error
    with torch.no_grad():
        for key, weight in model.named_parameters():
            weight.copy_(tensors[key])
            optimiser.state[weight] = {
                "step": torch.tensor(float(head["step"]), device=device),
                "exp_avg": tensors[f"{key}/exp_avg"],
                "exp_avg_sq": tensors[f"{key}/exp_avg_sq"],
            }
    return int(head["step"])


def remove_checkpoints(folder: Path) -> None:
    """Drop what only an unfinished run needs."""
    for path in [folder / "checkpoint.json", *folder.glob("checkpoint-*.safetensors")]:
        path.unlink(missing_ok=True)


class _Metrics:
    """`metrics.jsonl`, one line every REPORT_EVERY steps; lines past the checkpoint are dropped on resume."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        kept = path.read_text(encoding="utf8").splitlines() if path.exists() and start else []
        self._lines = [line for line in kept if json.loads(line)["step"] <= start]
        self._clock = time.perf_counter()

    def add(self, step: int, recipe: Recipe, loss: float, norm: float) -> None:
        now = time.perf_counter()
        row: dict[str, Any] = {
            "step": step,
            "tokens": step * recipe.batch * recipe.block,
            "loss": round(loss, 5),
            "gradient_norm": round(norm, 4),
            "learning_rate": round(recipe.learning_rate_at(step - 1), 8),
            "seconds": round(now - self._clock, 3),
        }
        self._clock = now
        self._lines.append(json.dumps(row))

    def flush(self) -> None:
        write_text(self._path, "".join(line + "\n" for line in self._lines))
