"""The training loop: one cohort, a stream and a folder for each member, from which it can be resumed.

Members share the recipe and nothing else: each sees its own blocks, its gradient is clipped by its own norm, and one
that diverges is marked and does not stop the others. On the CPU a resumed run is bit-for-bit the run that was never
stopped: the stream is seekable and nothing else is drawn.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from infusionlaw.files import write_text
from infusionlaw.lab.checkpoint import origin, resume, save, step_of
from infusionlaw.lab.compile import compile_if_worth
from infusionlaw.lab.mixture import Mixture
from infusionlaw.lab.model import Model
from infusionlaw.lab.recipe import Recipe

# Steps between metrics, progress and the check for a non-finite loss, and steps whose blocks go to the device at once:
# within them a GPU is never waited for.
REPORT_EVERY = 25
Status = Literal["ok", "diverged"]


def train(
    model: Model,
    recipe: Recipe,
    mixtures: Sequence[Mixture],
    folders: Sequence[Path],
    *,
    checkpoint_every: int,
    trunks: Sequence[Path] = (),
    on_progress: Callable[[int], None] = lambda step: None,
) -> list[Status]:
    """Train the members in place, from their folders' checkpoints if they have one, and say how each ended.

    trunks: a folder for each member, from which it begins where a shorter run of the same trunk began to decay, and in
    which it leaves where it begins to decay itself. A member is "diverged" as soon as its loss is not finite; training
    stops early when all are.
    """
    optimiser = _optimiser(model, recipe)
    origins = [origin(*pair, recipe.stem) for pair in zip(folders, trunks, strict=True)] if trunks else folders
    start = resume(model, optimiser, origins)
    compile_if_worth(model, recipe)
    status: list[Status] = ["ok"] * model.members
    metrics = [_Metrics(folder, start) for folder in origins]
    for step, blocks in enumerate(_feed(mixtures, recipe, start, model.embedding.weight.device), start):
        losses, norms = _step(model, optimiser, recipe, blocks, step)
        done = step + 1
        if done % REPORT_EVERY == 0 or done == recipe.steps:
            for member, values in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
                if not all(map(math.isfinite, values)):
                    status[member] = "diverged"
                if status[member] == "ok":
                    metrics[member].add(done, recipe, *values)
            if "ok" not in status:
                return status
            on_progress(done)
        if done % checkpoint_every == 0 and done < recipe.steps:
            _leave(model, optimiser, folders, done, metrics)
        if trunks and done == recipe.stem and all(step_of(trunk) < done for trunk in trunks):
            _leave(model, optimiser, trunks, done, metrics)
    for each, folder in zip(metrics, folders, strict=True):
        each.flush(folder)
    return status


def time_steps(model: Model, recipe: Recipe, mixtures: Sequence[Mixture], seconds: float = 1.0) -> float:
    """Seconds a step takes, compiled if training would be: the median over about `seconds`, after two to warm up."""
    optimiser = _optimiser(model, recipe)
    compile_if_worth(model, recipe)
    took: list[float] = []
    feed = _feed(mixtures, recipe, 0, model.embedding.weight.device)
    while len(took) < 5 or sum(took) < seconds:
        start = time.perf_counter()
        losses, _ = _step(model, optimiser, recipe, next(feed), len(took))
        losses.tolist()
        took.append(time.perf_counter() - start)
    return statistics.median(took[2:])


def _leave(
    model: Model, optimiser: torch.optim.AdamW, folders: Sequence[Path], step: int, metrics: "Sequence[_Metrics]"
) -> None:
    """Leave metrics and checkpoint of every member in its folder."""
    for each, folder in zip(metrics, folders, strict=True):
        each.flush(folder)
    save(model, optimiser, folders, step)


def _feed(mixtures: Sequence[Mixture], recipe: Recipe, start: int, device: torch.device) -> Iterator[torch.Tensor]:
    """The blocks of each step from `start` on, (M, B, T + 1) on the device."""
    for first in range(start, recipe.steps, REPORT_EVERY):
        steps = min(REPORT_EVERY, recipe.steps - first)
        members = [mixture.blocks(first * recipe.batch, steps * recipe.batch, recipe.block) for mixture in mixtures]
        tokens = np.stack([blocks.reshape(steps, recipe.batch, -1) for blocks in members], axis=1)
        yield from torch.from_numpy(tokens).to(device, torch.int64)


def _step(
    model: Model, optimiser: torch.optim.AdamW, recipe: Recipe, blocks: torch.Tensor, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step; returns losses (nats a token) and gradient norms (M,), still on the device."""
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate_at(step)
    losses = torch.zeros(model.members, device=blocks.device)
    for part in torch.split(blocks, model.piece or recipe.batch, dim=1):
        with torch.autocast(blocks.device.type, dtype=torch.bfloat16, enabled=blocks.device.type == "cuda"):
            loss = model.loss(part[..., :-1], part[..., 1:]) * (part.shape[1] / recipe.batch)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        losses += loss.detach()
    norms = _clip(model, recipe.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return losses, norms


def _clip(model: Model, most: float) -> torch.Tensor:
    """Scale the gradient of each member whose norm is above `most` down to it; returns the norms (M,)."""
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    each = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    norms: torch.Tensor = torch.linalg.vector_norm(each, dim=0)
    scale = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def _optimiser(model: Model, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only (rule 7)."""
    matrices = [weight for weight in model.parameters() if weight.dim() > 2]
    norms = [weight for weight in model.parameters() if weight.dim() == 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=1e-8, fused=True)


class _Metrics:
    """`metrics.jsonl`, one line every REPORT_EVERY steps; from those of `origin`, lines past the checkpoint dropped."""

    def __init__(self, origin: Path, start: int) -> None:
        path = origin / "metrics.jsonl"
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

    def flush(self, folder: Path) -> None:
        write_text(folder / "metrics.jsonl", "".join(line + "\n" for line in self._lines))
