"""When compiling the layers pays: what it costs a process, what it gains, and the work at which they are even.

For each shape of `benchmarks.train_speed`: seconds to compile with nothing kept from before and in a process that finds
the code kept, both with what importing the compiler takes; tokens/s of `train` interpreted and compiled, in turn,
medians; and the floating-point operations (6 a parameter and token) of the run that takes as long either way, with the
code kept and without. `infusionlaw.training.compile.LEAST_WORK` is set from this.

    python -m benchmarks.compile_pays
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.markdown import head, line
from benchmarks.train_speed import BATCHES, SIZES, Case, stream
from infusionlaw.training.compile import compile_layers
from infusionlaw.training.host import settle
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model

HEADINGS = [
    "N",
    "batch",
    "cold, s",
    "kept, s",
    "interpreted, tokens/s",
    "compiled, tokens/s",
    "gain",
    "even, kept, FLOPs",
    "even, cold, FLOPs",
]


def compile_time(case: Case, folder: str) -> float:
    """Seconds to compile a model in this process, with the code kept in `folder`."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    settle()
    model = Model(case.recipe.own_shape, [torch.Generator().manual_seed(0)])
    start = time.perf_counter()
    if not compile_layers(model, case.batch, case.recipe.block):
        raise SystemExit("nothing can be compiled here; is there a C++ compiler?")
    return time.perf_counter() - start


def speeds(case: Case, folder: str, repeats: int) -> tuple[float, float]:
    """Tokens a second, interpreted and compiled."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    settle()
    recipe, mixture = case.recipe, stream()
    models = [Model(recipe.own_shape, [torch.Generator().manual_seed(0)]) for _ in range(2)]
    compile_layers(models[1], recipe.batch, recipe.block)
    rates: list[list[float]] = [[], []]
    for turn in range(repeats + 1):
        for model, rate in zip(models, rates, strict=True):
            part = replace(recipe, steps=recipe.steps if turn else 3)  # the first turn warms up
            start = time.perf_counter()
            train(model, part, [mixture], [Path(folder) / "run"], checkpoint_every=1 << 30)
            rate.append(part.tokens / (time.perf_counter() - start))
    interpreted, compiled = (statistics.median(rate[1:]) for rate in rates)
    return interpreted, compiled


def row(case: Case, repeats: int) -> list[str]:
    """One line of the table."""

    def alone(function: Callable[..., Any], *given: Any) -> Any:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(function, case, *given).result()

    with tempfile.TemporaryDirectory() as folder:
        cold, kept = alone(compile_time, folder), alone(compile_time, folder)
        interpreted, compiled = alone(speeds, folder, repeats)
    saved = 1 / interpreted - 1 / compiled
    work = 6 * case.recipe.shape.total_size
    even = [f"{work * cost / saved:.1e}" if saved > 0 else str(math.inf) for cost in (kept, cold)]
    numbers = [f"{cold:.1f}", f"{kept:.1f}", f"{interpreted:,.0f}", f"{compiled:,.0f}", f"{compiled / interpreted:.2f}"]
    return [f"{case.recipe.shape.size:,}", str(case.batch), *numbers, *even]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_pays", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args(arguments)
    print(head(HEADINGS))
    for size in given.sizes:
        for batch in given.batches:
            print(line(row(Case(size, batch), given.repeats)), flush=True)


if __name__ == "__main__":
    main()
