"""One GPU: a batch of models beside its members one by one, Hugging Face Trainer, a plain loop; single models too.

Batches: 32 models at N of about 0.2 M, 1 M and 5 M, vocabulary 1024, blocks of 128, as many blocks a member as the
recipe gives for D = 6 M (18), four times the built-in studies' token count, so that the smallest batch still has a
GPU's worth of tokens a step and the largest fits. Singles: N of about 25 M and 124 M, 16 blocks of 1024 a step, and
GPT-2's vocabulary of 50,257 rounded up to a multiple of 128 (50,304), as usual for models of that size: tensor cores
want the multiple, and every contender gets it.

    together, ours         the public `train`, all members at once, a single model as one member, compiled as long runs
                           are; from its call to its return, so with an optimiser made, a step captured, metrics written
    one by one             the same with one member, which is the rate of any number of them one after another
    interpreted            the first without compiling, as short runs are
    Trainer, compiled      benchmarks/peers.py, one model; their blocks lie ready in memory, ours are made as it goes

All train on the same stream, on a GPU under bf16 autocast with fp32 weights (ours of 0.2 M in fp32, as its runs are).
Figures are tokens/s, medians over the repetitions; in each the contenders are measured in turn, after the peak: the
rate of bf16 products of 8192 x 8192 matrices (on the CPU fp32, 1024 x 1024). A measurement is some steps, then more,
which say how many fill `--seconds`, then these, with the device waited for at their start and end only. Every contender
has a process of its own, so that none inherits another's memory or compiled code; between its turns it holds weights
and moments and gives the rest of the GPU's memory back. "of peak" is the operations of together or ours over the peak.
A contender that fails says why on stderr, and its cells are "–".

The bar: at 1 M, together 8 times one by one and 20 times Trainer; at 124 M, 40 % of peak. The defaults are meant to end
within ten minutes on an H100; `--singles` or `--sizes` without numbers leaves a table out. `--device cpu` is for trying
the code, with ours interpreted. With several GPUs show it one, or Trainer takes all:

    CUDA_VISIBLE_DEVICES=0 python -m benchmarks.batch_speed
"""

import argparse
import gc
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import train_speed
from benchmarks.markdown import head, line
from benchmarks.peers import hugging_face, plain_loop, wait
from benchmarks.train_speed import stream
from infusionlaw.training.compile import compile_layers
from infusionlaw.training.host import settle
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import Recipe, recipe_for

SIZES, MEMBERS = (200_000, 1_000_000, 5_000_000), 32
SINGLES, SINGLE_BATCH = (25_000_000, 124_000_000), 16
VOCABULARY, BLOCK, TOKENS = 1024, 128, 6_000_000
SINGLE_VOCABULARY, SINGLE_BLOCK = 50_304, 1024
OURS, ALONE, INTERPRETED, TRAINER, COMPILED = CONTENDERS = ("ours", "alone", "interpreted", "trainer", "compiled")
WARM_UP = 10  # steps
Loop = Callable[[int], float]  # from steps to the seconds they take


@dataclass(frozen=True)
class Case:
    """One row: so many members of one shape. `batch` counts blocks a member and step, the recipe's own if None."""

    size: int
    members: int
    vocabulary: int
    block: int
    batch: int | None = None
    tokens: int = TOKENS

    @property
    def recipe(self) -> Recipe:
        """The recipe of this size and token count, with the batch put in its place if there is one."""
        recipe = recipe_for(self.size, self.tokens, vocabulary=self.vocabulary, block=self.block)
        return replace(recipe, batch=self.batch or recipe.batch)

    def members_of(self, contender: str) -> int:
        """How many models a contender trains at once."""
        return self.members if contender in (OURS, INTERPRETED) else 1


def peak(device: torch.device) -> float:
    """Operations a second of a product of two square matrices: bf16, 8192 wide on a GPU; fp32, 1024 wide on the CPU."""
    if device.type == "cpu":
        return train_speed.peak()
    side, at_once = 8192, 10
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    took = []
    for _ in range(22):
        wait(device)
        start = time.perf_counter()
        for _ in range(at_once):
            a @ b
        wait(device)
        took.append(time.perf_counter() - start)
    del a, b
    _free()
    return at_once * 2 * side**3 / statistics.median(took[2:])


def ours(case: Case, members: int, device: torch.device, *, compiled: bool) -> Loop:
    """Our loop, from `train`'s call to its return."""
    recipe = case.recipe
    model = Model(recipe.own_shape, [torch.Generator().manual_seed(seed) for seed in range(members)]).to(device)
    mixtures = [stream(seed, case.vocabulary) for seed in range(members)]
    if compiled and not compile_layers(model, recipe.batch, recipe.block):
        raise RuntimeError("the layers could not be compiled")

    def steps(count: int) -> float:
        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name, str(member)) for member in range(members)]
            wait(device)
            start = time.perf_counter()
            ends = train(model, replace(recipe, steps=count), mixtures, folders, checkpoint_every=1 << 30)
            wait(device)
            took = time.perf_counter() - start
        if "diverged" in ends:
            raise RuntimeError("a member diverged, and the steps that were timed may be fewer than were counted")
        return took

    return steps


def peer(loop: Callable[[Tensor], float], case: Case, place: torch.device) -> Loop:
    """A peer's loop on the stream of our first member, its blocks made and put in their place before it starts."""
    recipe, mixture = case.recipe, stream(0, case.vocabulary)

    def steps(count: int) -> float:
        blocks = mixture.blocks(0, count * recipe.batch, recipe.block).astype(np.int64)
        return loop(torch.from_numpy(blocks).view(count, recipe.batch, -1).to(place))

    return steps


def loop_of(contender: str, case: Case, device: torch.device) -> Loop:
    """A contender's loop. Trainer moves its blocks to the device itself."""
    if contender == TRAINER:
        return peer(hugging_face(case.recipe, device), case, torch.device("cpu"))
    if contender == COMPILED:
        return peer(plain_loop(case.recipe, device, compiled=True), case, device)
    return ours(case, case.members_of(contender), device, compiled=contender != INTERPRETED and device.type == "cuda")


class _Worker:
    """What a contender's process keeps: its device, and of the case at hand its loop and tokens a step."""

    contender: str
    device: torch.device
    loop: Loop | None = None
    tokens: int


def _start(contender: str, device: torch.device) -> None:
    _Worker.contender, _Worker.device = contender, device
    if contender in (OURS, ALONE, INTERPRETED):
        settle()
    else:
        _one_core(device)


def _one_core(device: torch.device) -> None:
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)


def _prepare(case: Case) -> None:
    """Put the case in the place of the one before, and do a few steps, which compiles what is to be compiled."""
    _Worker.loop = None
    torch.compiler.reset()
    _free()
    _Worker.tokens = case.members_of(_Worker.contender) * case.recipe.batch * case.block
    try:
        loop = loop_of(_Worker.contender, case, _Worker.device)
        loop(3)
        _Worker.loop = loop
    except RuntimeError as error:  # out of memory, or not to be compiled
        _complain(case.size, error)
    _free()


def _measure(size: int, seconds: float) -> float:
    """Tokens a second; not a number if the contender cannot do it."""
    if _Worker.loop is None:
        return math.nan
    try:
        count = WARM_UP
        for aim in (seconds / 8, seconds):
            count = max(count, round(count * aim / _Worker.loop(count)))
        return count * _Worker.tokens / _Worker.loop(count)
    except RuntimeError as error:
        _complain(size, error)
        _Worker.loop = None
        return math.nan
    finally:
        _free()


def _complain(size: int, error: RuntimeError) -> None:
    print(f"{_Worker.contender} at {size:,}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _free() -> None:
    gc.collect()
    torch.cuda.empty_cache()


Pools = Mapping[str, ProcessPoolExecutor]


def prepare(pools: Pools, case: Case) -> None:
    """Get every contender ready: compiling goes on beside the others, who come one by one to share the memory."""
    compiling = [pools[name].submit(_prepare, case) for name in pools if name in (OURS, ALONE, COMPILED)]
    for name in pools:
        if name in (INTERPRETED, TRAINER):
            pools[name].submit(_prepare, case).result()
    for each in compiling:
        each.result()


def measure(pools: Pools, case: Case, device: torch.device, repeats: int, seconds: float) -> dict[str, float]:
    """Tokens/s by contender, and "peak" in operations/s; not a number for one that failed or was left out."""
    pools = {name: pool for name, pool in pools.items() if name != ALONE or case.members > 1}
    prepare(pools, case)
    found: dict[str, list[float]] = {name: [] for name in ("peak", *pools)}
    for _ in range(repeats):
        found["peak"].append(peak(device))
        for name, pool in pools.items():
            found[name].append(pool.submit(_measure, case.size, seconds).result())
    done = {name: statistics.median(each) for name, each in found.items() if all(map(math.isfinite, each))}
    return dict.fromkeys(CONTENDERS, math.nan) | done


BATCH_HEADINGS = [
    *("N", "members", "batch", "together", "one by one", "together, interpreted", "Trainer", "compiled"),
    *("together / one by one", "together / Trainer", "together / compiled", "of peak", "peak, TFLOP/s"),
]
SINGLE_HEADINGS = [
    *("N", "batch", "ours", "ours, interpreted", "Trainer", "compiled"),
    *("ours / Trainer", "ours / compiled", "of peak", "peak, TFLOP/s"),
]


def batch_row(case: Case, found: Mapping[str, float]) -> list[str]:
    """What stands under `BATCH_HEADINGS`."""
    recipe, together = case.recipe, found[OURS]
    return [
        *(f"{recipe.shape.size:,}", str(case.members), str(recipe.batch)),
        *(_number(found[name], ",.0f") for name in CONTENDERS),
        *(_number(together / found[name], ".2f") for name in (ALONE, TRAINER, COMPILED)),
        *_of_peak(case, found),
    ]


def single_row(case: Case, found: Mapping[str, float]) -> list[str]:
    """What stands under `SINGLE_HEADINGS`."""
    recipe, mine = case.recipe, found[OURS]
    return [
        *(f"{recipe.shape.size:,}", str(recipe.batch)),
        *(_number(found[name], ",.0f") for name in CONTENDERS if name != ALONE),
        *(_number(mine / found[name], ".2f") for name in (TRAINER, COMPILED)),
        *_of_peak(case, found),
    ]


def _of_peak(case: Case, found: Mapping[str, float]) -> list[str]:
    share = found[OURS] * case.recipe.flops_per_token / found["peak"]
    return [_number(share, ".1%"), _number(found["peak"] / 1e12, ".3g")]


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_speed", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="N of the models that train in a batch")
    parser.add_argument("--singles", type=int, nargs="*", default=SINGLES, help="N of the single models")
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="D, from which blocks a model and step follow")
    parser.add_argument("--block", type=int, default=BLOCK, help="tokens of a block where models train in a batch")
    parser.add_argument("--single-block", type=int, default=SINGLE_BLOCK, help="tokens of a single model's block")
    parser.add_argument("--single-batch", type=int, default=SINGLE_BATCH, help="blocks of a single model's step")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement, about")
    parser.add_argument("--without", nargs="+", choices=CONTENDERS, default=[], help="contenders to leave out")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU here; --device cpu tries the code on small --sizes and --singles")
    device = torch.device(given.device)
    batches = [Case(size, given.members, VOCABULARY, given.block, tokens=given.tokens) for size in given.sizes]
    singles = [Case(size, 1, SINGLE_VOCABULARY, given.single_block, given.single_batch) for size in given.singles]
    where = torch.cuda.get_device_name() if device.type == "cuda" else "One core"
    print(f"{where}, PyTorch {torch.__version__}, tokens/s, medians of {given.repeats}.")
    _one_core(device)
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(1, get_context("spawn"), _start, (name, device)))
            for name in CONTENDERS
            if name not in given.without
        }
        for pool in pools.values():
            pool.submit(int)  # so that all start now, side by side
        for cases, headings, row in ((batches, BATCH_HEADINGS, batch_row), (singles, SINGLE_HEADINGS, single_row)):
            if cases:
                print(f"\n{head(headings)}", flush=True)
            for case in cases:
                found = measure(pools, case, device, given.repeats, given.seconds)
                print(line(row(case, found)), flush=True)


if __name__ == "__main__":
    main()
