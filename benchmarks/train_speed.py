"""One core: our loop beside Hugging Face Trainer and a plain compiled PyTorch loop; tokens/s, ratios, share of peak.

Sizes of about 24 k, 147 k and 780 k, vocabulary 1024, blocks of 128, batches of 8 and 32 blocks. All train on the same
tokens, each in a process of its own, in turn within each repetition; the figures are medians. Ours is the public
`train` in a process settled as a study's are, with its layers compiled beforehand as those of a long run are: it
assembles its blocks as it goes and writes its metrics; the others' blocks lie ready in memory. The peak is that of a
product of two 1024 x 1024 matrices, timed in every repetition. The compiled loop, and ours to be compiled, need g++.

A second table has all cores at once, with a process of ours on each, over one of them alone; their tokens come from one
file that each process maps.

    python -m benchmarks.train_speed
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.markdown import head, line
from benchmarks.peers import hugging_face, plain_loop
from infusionlaw.corpus.infusion.general import GeneralText
from infusionlaw.corpus.infusion.mixture import Mixture
from infusionlaw.corpus.infusion.renderings import RenderingCycle, Renderings
from infusionlaw.processes import cores
from infusionlaw.training.compile import compile_layers
from infusionlaw.training.host import settle
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import Recipe, recipe_for

SIZES, BATCHES = (24_000, 147_000, 780_000), (8, 32)
VOCABULARY, BLOCK = 1024, 128
CONTENDERS = ("ours", "Trainer", "compiled")
CPU = torch.device("cpu")
WORK = 8e10  # floating-point operations a loop is timed for, about
Loop = Callable[[Tensor], float]


def general_text(seed: int = 0, vocabulary: int = VOCABULARY) -> NDArray[np.uint16]:
    """General tokens drawn at random."""
    return np.random.default_rng(seed).integers(1, vocabulary, 1 << 20).astype(np.uint16)


def stream(seed: int = 0, vocabulary: int = VOCABULARY, text: NDArray[np.uint16] | None = None) -> Mixture:
    """A stream of half general tokens, those of `text` if given, and half renderings, all drawn at random."""
    rng = np.random.default_rng(seed)
    text = general_text(seed, vocabulary) if text is None else text
    domain, prior = (
        Renderings([[rng.integers(1, vocabulary, 12) for _ in range(4)] for _ in range(64)], text.dtype)
        for _ in range(2)
    )
    return Mixture(
        RenderingCycle(domain, [seed, 1]),
        RenderingCycle(prior, [seed, 2]),
        GeneralText(text, 0, [seed, 3]),
        share=0.5,
        prior_share=0.25,
        end_of_text=0,
    )


def peak() -> float:
    """Operations a second of a product of two matrices of 1024 x 1024."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    took = []
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        took.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(took)


def ours(recipe: Recipe, mixture: Mixture) -> Loop:
    """Our loop, from `train`'s call to its return, with the layers compiled as those of a long run are."""
    model = Model(recipe.own_shape, [torch.Generator().manual_seed(0)])
    compile_layers(model, recipe.batch, recipe.block)

    def steps(blocks: Tensor) -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            train(model, replace(recipe, steps=len(blocks)), [mixture], [Path(folder)], checkpoint_every=1 << 30)
            return time.perf_counter() - start

    return steps


@dataclass(frozen=True)
class Case:
    """One shape: a size and a batch."""

    size: int
    batch: int

    @property
    def recipe(self) -> Recipe:
        """The recipe of 1.5 M tokens at this size and batch, with as many steps as are timed."""
        recipe = replace(recipe_for(self.size, 1_500_000, vocabulary=VOCABULARY, block=BLOCK), batch=self.batch)
        steps = math.ceil(WORK / (recipe.flops_per_token * self.batch * BLOCK))
        return replace(recipe, steps=max(10, steps))


class _Contender:
    """What a contender's process keeps: its loop and the blocks, after a few steps to warm up."""

    loop: Loop
    blocks: Tensor


def _enter(name: str, case: Case) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    recipe, mixture = case.recipe, stream()
    blocks = mixture.blocks(0, recipe.steps * recipe.batch, BLOCK).astype(np.int64)
    _Contender.blocks = torch.from_numpy(blocks).view(recipe.steps, recipe.batch, -1)
    if name == "ours":
        settle()
        _Contender.loop = ours(recipe, mixture)
    elif name == "Trainer":
        _Contender.loop = hugging_face(recipe, CPU)
    else:
        _Contender.loop = plain_loop(recipe, CPU, compiled=True)
    _Contender.loop(_Contender.blocks[:3])


def _run() -> float:
    """Tokens a second."""
    return _Contender.blocks[..., 1:].numel() / _Contender.loop(_Contender.blocks)


def compare(case: Case, repeats: int) -> list[str]:
    """One row of the table: N, batch, tokens/s of each, the ratios, and our share of the peak."""
    peaks: list[float] = []
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), _enter, (name, case)))
            for name in CONTENDERS
        }
        for pool in pools.values():
            pool.submit(int).result()
        for _ in range(repeats):
            peaks.append(peak())
            for name, pool in pools.items():
                rates[name].append(pool.submit(_run).result())
    mine, trainer, compiled = (statistics.median(rates[name]) for name in CONTENDERS)
    share = mine * case.recipe.flops_per_token / statistics.median(peaks)
    return [
        f"{case.recipe.shape.size:,}",
        str(case.batch),
        *(f"{rate:,.0f}" for rate in (mine, trainer, compiled)),
        f"{mine / trainer:.2f}",
        f"{mine / compiled:.2f}",
        f"{share:.0%}",
        f"{statistics.median(peaks) / 1e9:.0f}",
    ]


def _enter_mapped(case: Case, path: str) -> None:
    settle()
    mixture = stream(text=np.memmap(path, np.uint16, "r"))
    _Contender.loop = ours(case.recipe, mixture)
    _Contender.blocks = torch.zeros(case.recipe.steps, case.batch, BLOCK + 1, dtype=torch.int64)
    _Contender.loop(_Contender.blocks[:3])


def all_cores(case: Case, repeats: int) -> list[str]:
    """One row of the second table: N, batch, processes, tokens/s of one alone and of all at once, and the ratio."""
    alone, together = [], []
    with tempfile.NamedTemporaryFile() as file, ExitStack() as stack:
        general_text().tofile(file.name)
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), _enter_mapped, (case, file.name)))
            for _ in range(cores())
        ]
        for pool in pools:
            pool.submit(int).result()
        for _ in range(repeats):
            alone.append(pools[0].submit(_run).result())
            running = [pool.submit(_run) for pool in pools]
            together.append(sum(each.result() for each in running))
    one, every = statistics.median(alone), statistics.median(together)
    return [
        f"{case.recipe.shape.size:,}",
        str(case.batch),
        str(len(pools)),
        f"{one:,.0f}",
        f"{every:,.0f}",
        f"{every / one:.2f}",
    ]


HEADINGS = [
    "N",
    "batch",
    "ours",
    "Trainer",
    "compiled",
    "ours / Trainer",
    "ours / compiled",
    "of peak",
    "peak, GFLOP/s",
]
CORE_HEADINGS = ["N", "batch", "processes", "one alone", "all at once", "all / one"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cases = [Case(size, batch) for size in given.sizes for batch in given.batches]
    for title, headings, row in (("One core", HEADINGS, compare), ("All cores", CORE_HEADINGS, all_cores)):
        print(f"{title}, tokens/s, medians of {given.repeats}.\n")
        print(head(headings))
        for case in cases:
            print(line(row(case, given.repeats)), flush=True)
        print()


if __name__ == "__main__":
    main()
