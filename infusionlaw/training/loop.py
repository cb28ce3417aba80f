"""Train a batch of models: a stream and a folder for each member, from which it can be resumed.

Members share the recipe and nothing else: each sees its own blocks, its gradient is clipped by its own norm, and one
that diverges is marked and does not stop the others. On the CPU a resumed run is bit-for-bit the run that was never
stopped: the stream is seekable and nothing else is drawn.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.files import write_text
from infusionlaw.runs.begun import begun_step, read_metrics
from infusionlaw.runs.record import REPORT_EVERY
from infusionlaw.training.checkpoint import origin, put_aside_damaged, resume, save
from infusionlaw.training.compile import compile_if_worth, keep_code
from infusionlaw.training.feed import feed
from infusionlaw.training.group import agreed, leads
from infusionlaw.training.recipe import Recipe
from infusionlaw.training.step import WARM_UP, Stepper
from infusionlaw.training.trainable import Trainable

# A checkpoint is put off until training has gone on for so many times what the last one took, however large the model.
WORTH_A_CHECKPOINT = 50
Status = Literal["ok", "diverged"]
Row = Mapping[str, float]  # a line of metrics.jsonl


def train(
    model: Trainable,
    recipe: Recipe,
    mixtures: Sequence[Mixture],
    folders: Sequence[Path],
    *,
    checkpoint_every: int,
    stable: Sequence[Path] = (),
    on_progress: Callable[[int, Sequence[Row]], None] = lambda step, rows: None,
) -> list[Status]:
    """Train the members in place, from their folders' checkpoints if they have one, and return how each ended.

    stable: the folder of each member's stable phase. A member begins where a shorter run of the same phase began to
    decay, and leaves a checkpoint there where it begins to decay itself. checkpoint_every: steps, of which some are
    passed over where a checkpoint takes long beside them. A member is "diverged" as soon as its loss is not finite;
    training stops early when all are. on_progress: hears the steps done and the metrics of each member, empty for one
    that has diverged.
    """
    if leads():
        for folder in folders:
            put_aside_damaged(folder, recipe.steps)
        for folder in stable:
            put_aside_damaged(folder)
    agreed(True)  # nobody looks before
    keep_code(model, recipe)
    step_on = Stepper(model, recipe)
    origins = [origin(*pair, recipe.decay_start) for pair in zip(folders, stable, strict=True)] if stable else folders
    start = resume(model, step_on.optimiser, origins)
    compile_if_worth(model, recipe)
    status: list[Status] = ["ok"] * model.members
    metrics = [_Metrics(folder, start) for folder in origins]
    next_checkpoint = 0.0
    for step, blocks in enumerate(_feed(model, recipe, mixtures, start), start):
        losses, norms = step_on(blocks, step)
        done = step + 1
        if done % REPORT_EVERY == 0 or done == recipe.steps:
            rows: list[Row] = [{}] * model.members
            for member, values in enumerate(zip(losses.tolist(), norms.tolist(), strict=True)):
                if not all(map(math.isfinite, values)):
                    status[member] = "diverged"
                if status[member] == "ok":
                    rows[member] = metrics[member].add(done, recipe, *values)
            if "ok" not in status:
                return status
            on_progress(done, rows)
        due = done % checkpoint_every == 0 and done < recipe.steps
        if due and agreed(time.perf_counter() >= next_checkpoint):
            begun = time.perf_counter()
            _leave(model, step_on.optimiser, folders, done, metrics)
            next_checkpoint = time.perf_counter() + WORTH_A_CHECKPOINT * (time.perf_counter() - begun)
        if stable and done == recipe.decay_start and all(begun_step(folder) < done for folder in stable):
            _leave(model, step_on.optimiser, stable, done, metrics)
    for each, folder in zip(metrics, folders, strict=True):
        each.flush(folder)
    return status


def time_steps(model: Trainable, recipe: Recipe, mixtures: Sequence[Mixture], seconds: float = 1.0) -> float:
    """Return the seconds a step takes, compiled if training would be: the median over about `seconds`.

    Some steps warm up first. Where one step takes longer than that, two are done and the second counts.
    """
    keep_code(model, recipe)
    step_on = Stepper(model, recipe)
    compile_if_worth(model, recipe)
    took: list[float] = []
    for step, blocks in enumerate(_feed(model, recipe, mixtures, 0)):
        start = time.perf_counter()
        step_on(blocks, step)[0].tolist()
        took.append(time.perf_counter() - start)
        slow = len(took) > 1 and took[1] > seconds  # the first makes what is made once
        counted = took[1 if slow else WARM_UP + 1 :]
        if agreed(sum(counted) >= seconds and (slow or len(counted) > WARM_UP)):
            break
    return statistics.median(counted)


def _feed(model: Trainable, recipe: Recipe, mixtures: Sequence[Mixture], start: int) -> Iterator[torch.Tensor]:
    return feed(mixtures, recipe, start, model.device, REPORT_EVERY)


def _leave(
    model: Trainable, optimiser: torch.optim.AdamW, folders: Sequence[Path], step: int, metrics: "Sequence[_Metrics]"
) -> None:
    """Leave metrics and checkpoint of every member in its folder."""
    for each, folder in zip(metrics, folders, strict=True):
        each.flush(folder)
    save(model, optimiser, folders, step)


class _Metrics:
    """Lines of `metrics.jsonl`, one every REPORT_EVERY steps, on from those of `origin` up to the checkpoint."""

    def __init__(self, origin: Path, start: int) -> None:
        self._lines = [line for _, _, line in read_metrics(origin, start)] if start else []
        self._clock = time.perf_counter()

    def add(self, step: int, recipe: Recipe, loss: float, norm: float) -> Row:
        now = time.perf_counter()
        row: Row = {
            "step": step,
            "tokens": step * recipe.batch * recipe.block,
            "loss": round(loss, 5),
            "gradient_norm": round(norm, 4),
            "learning_rate": round(recipe.learning_rate_at(step - 1), 8),
            "seconds": round(now - self._clock, 3),
        }
        self._clock = now
        self._lines.append(json.dumps(row))
        return row

    def flush(self, folder: Path) -> None:
        if leads():
            write_text(folder / "metrics.jsonl", "".join(line + "\n" for line in self._lines))
