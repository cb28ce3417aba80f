"""One GPU in under ten minutes: single models, batches of models, slices of the largest study, the tests that need it.

    single   models of 124 M and 25 M, ours beside a plain compiled loop; 16 blocks of 1024 a step, vocabulary 50,304
    batch    models of 1 M: 32, 128 and 512 together, 18 blocks of 128 each a step; as many as fit with the batch of
             1 B tokens; then one alone, and a plain compiled loop and Hugging Face Trainer with one
    study    each size of experiments/2026-11-26-wide as its runs are trained: their recipe, as many together as fit
    tests    tests/training/test_gpu.py

Each part has a share of the time (`--minutes`). What a part leaves over goes to the next one; what does not fit is
left out or stopped, and its row says so. Rows are printed as they are measured, into one Markdown table:

    CUDA_VISIBLE_DEVICES=0 python -m benchmarks.batch_speed

- start-up: seconds until steps follow each other at their speed: the model, compiling, the captured graph, first steps.
  Ours are those up to the 25th step, less what 25 steps take.
- tokens/s: of all models together, after start-up. Ours is the public `train`, from one line of metrics to the next.
  The others' blocks lie ready in memory. Single models are measured in turn, three times each, and have the median.
- ours / it: at single models ours over this row; in batches the first row, 32 together, over this one.
- of peak: operations beside those of bf16 products of 8192 x 8192 matrices at that moment (CPU: fp32, 1024 x 1024).
- GB: of the GPU's memory that its process took.
- hours: for 1 B tokens of each of 512 models; in the study for all runs of that size, without their probing. Of a size
  that was left out at most those at the speed of the next larger one.

All train on drawn tokens, on a GPU in bf16 with fp32 weights. Each has a process of its own, so that one that runs out
of memory, or of time, does not touch the rest. `--device cpu` tries the whole on tiny models, with nothing compiled.
"""

import argparse
import gc
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import train_speed
from benchmarks.markdown import head, line
from benchmarks.peers import hugging_face, plain_loop, wait
from benchmarks.train_speed import general_text, stream
from infusionlaw.runners.local import Lab
from infusionlaw.runs.record import REPORT_EVERY, RunSpec
from infusionlaw.settings import read_study_file
from infusionlaw.study.design import grid, held_out
from infusionlaw.training.host import settle
from infusionlaw.training.loop import train
from infusionlaw.training.model import Model
from infusionlaw.training.recipe import RECIPES, Recipe, recipe_for

ROOT = Path(__file__).parents[1]
OURS, PLAIN, TRAINER = "ours", "plain loop", "Trainer"
TESTS = "tests/training/test_gpu.py"
SHARES = {"single": 0.3, "batch": 0.32, "study": 0.21, "tests": 0.17}  # of the time
REPEATS = 3  # of single models
WARM_UP = 10  # steps of a peer
SWARM = 512  # models whose hours are asked for
TOO_LATE = "no time left"
IMPORTED = ["benchmarks.peers", "benchmarks.train_speed", "infusionlaw.runners.local", "infusionlaw.study.design"]


@dataclass(frozen=True)
class Plan:
    """What is measured, for at least so many seconds each.

    singles, swarm: N; each: tokens of each model of the swarm; study: a study file.
    """

    singles: tuple[int, ...]
    single_vocabulary: int
    single_block: int
    single_batch: int
    swarm: int
    members: tuple[int, ...]
    swarm_batch: int
    each: int
    study: str
    seconds: float


ON_GPU = Plan(
    singles=(124_000_000, 25_000_000),
    single_vocabulary=50_304,  # GPT-2's, rounded up to a multiple of 128, which tensor cores want
    single_block=1024,
    single_batch=16,
    swarm=1_000_000,
    members=(32, 128, 512),
    swarm_batch=18,  # the recipe's at 6 M tokens: enough for the least of them to fill a GPU, and the most may fit
    each=1_000_000_000,
    study="experiments/2026-11-26-wide/study.toml",
    seconds=3.0,
)
ON_CPU = Plan((12_000,), 512, 16, 1, 12_000, (2, 4), 1, 1_000_000, "examples/external-trainer/study.toml", 0.1)


class Case(NamedTuple):
    """So many models of one recipe, and who trains them."""

    contender: str
    recipe: Recipe
    members: int = 1


class Figures(NamedTuple):
    """What was measured of a case: seconds of start-up, tokens a second, bytes of the GPU's memory."""

    start: float = math.nan
    rate: float = math.nan
    memory: float = math.nan
    remark: str = ""


Loop = Callable[[float], Figures]  # from the seconds that it is to be timed for


class _Enough(Exception):
    pass


def ours(case: Case, device: torch.device) -> Loop:
    """Return our loop, which is timed by its own metrics."""
    recipe, vocabulary = case.recipe, case.recipe.shape.vocabulary
    text = general_text(0, vocabulary)
    mixtures = [stream(seed, vocabulary, text) for seed in range(case.members)]
    model = Model(recipe.own_shape, [torch.Generator().manual_seed(seed) for seed in range(case.members)]).to(device)

    def loop(seconds: float) -> Figures:
        began, marks = time.perf_counter(), list[float]()

        def mark(done: int, rows: Sequence[object]) -> None:
            if not all(rows):
                raise RuntimeError("a model diverged")
            marks.append(time.perf_counter())
            if len(marks) > 1 and marks[-1] - marks[0] >= seconds:
                raise _Enough

        with tempfile.TemporaryDirectory() as name:
            folders = [Path(name, str(member)) for member in range(case.members)]
            try:
                train(model, recipe, mixtures, folders, checkpoint_every=1 << 30, on_progress=mark)
            except _Enough:
                between = (marks[-1] - marks[0]) / (len(marks) - 1)
            else:
                raise RuntimeError("it ended before it could be timed")
        rate = REPORT_EVERY * case.members * recipe.batch * recipe.block / between
        return Figures(marks[0] - began - between, rate, remark="" if model.compiled else "not compiled")

    return loop


def peer(case: Case, device: torch.device) -> Loop:
    """Return a peer's loop on the stream of our first model. Trainer moves its blocks to the device itself."""
    recipe = case.recipe
    mixture = stream(0, recipe.shape.vocabulary)
    compiled = device.type == "cuda" and case.contender == PLAIN
    take = hugging_face(recipe, device) if case.contender == TRAINER else plain_loop(recipe, device, compiled=compiled)
    place = torch.device("cpu") if case.contender == TRAINER else device

    def blocks(count: int) -> Tensor:
        found = mixture.blocks(0, count * recipe.batch, recipe.block).astype(np.int64)
        return torch.from_numpy(found).view(count, recipe.batch, -1).to(place)

    def loop(seconds: float) -> Figures:
        began = time.perf_counter()
        take(blocks(3))
        start, count = time.perf_counter() - began, WARM_UP
        for aim in (seconds / 8, seconds):
            count = max(count, round(count * aim / take(blocks(count))))
        rate = count * recipe.batch * recipe.block / take(blocks(count))
        return Figures(start, rate, remark="" if compiled else "not compiled")

    return loop


class _Worker:
    """What a process keeps between two measurements."""

    device: torch.device
    loop: Loop


def _start(device: torch.device) -> None:
    _Worker.device = device
    torch.zeros(1, device=device)


def _open(case: Case, seconds: float) -> Figures:
    """Start a case, and measure it for the first time."""
    if case.contender == OURS:
        settle()
    else:
        _one_core(_Worker.device)
    began = time.perf_counter()
    try:
        _Worker.loop = (ours if case.contender == OURS else peer)(case, _Worker.device)
        wait(_Worker.device)
        made = time.perf_counter() - began
        found = _Worker.loop(seconds)
    except Exception as error:  # whatever goes wrong with one case is said in its row
        return Figures(remark=_reason(error))
    memory = torch.cuda.max_memory_reserved() if _Worker.device.type == "cuda" else math.nan
    return found._replace(start=made + found.start, memory=memory)


def _again(seconds: float) -> Figures:
    _free()
    try:
        return _Worker.loop(seconds)
    except Exception as error:
        return Figures(remark=_reason(error))


def _reason(error: Exception) -> str:
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    short = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
    return "out of memory" if short else f"failed: {type(error).__name__}"


def _one_core(device: torch.device) -> None:
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)


def _free() -> None:
    gc.collect()
    torch.cuda.empty_cache()


class Bench:
    """The device, and the time by which the part at hand must have ended."""

    def __init__(self, device: torch.device, ends: float) -> None:
        self.device, self.ends = device, ends

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.ends - time.perf_counter())

    @contextmanager
    def process(self) -> Iterator[ProcessPoolExecutor]:
        """Open a process, forked from one that has imported everything; it is killed in the end, whatever it does."""
        context = get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        pool = ProcessPoolExecutor(1, context, _start, (self.device,))
        try:
            yield pool
        finally:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown()

    def wait(self, future: Future[Figures]) -> Figures:
        """Return what came of a measurement, at the end of the time at the latest."""
        try:
            return future.result(self.left)
        except TimeoutError:
            return Figures(remark=TOO_LATE)
        except BrokenProcessPool:
            return Figures(remark="its process was killed")

    def measure(self, case: Case, seconds: float) -> Figures:
        """Measure a case in a process of its own."""
        if not self.left:
            return Figures(remark=TOO_LATE)
        with self.process() as pool:
            return self.wait(pool.submit(_open, case, seconds))

    def in_turn(self, cases: Sequence[Case], seconds: float) -> list[Figures]:
        """Measure cases that fit side by side: all start at once, then each is measured some times in turn."""
        if not self.left:
            return [Figures(remark=TOO_LATE)] * len(cases)
        with self.process() as one, self.process() as other:
            pools = (one, other)
            opened = [pool.submit(_open, case, 0.0) for pool, case in zip(pools, cases, strict=True)]
            first = [self.wait(each) for each in opened]
            later: list[list[Figures]] = [[] for _ in cases]
            for _ in range(REPEATS):
                for pool, found, own in zip(pools, first, later, strict=True):
                    if math.isfinite(found.rate):
                        own.append(self.wait(pool.submit(_again, seconds)))
        return [_median(found, own) for found, own in zip(first, later, strict=True)]

    def peak(self) -> float:
        """Return operations a second of a product of two square matrices: bf16, 8192 wide; on the CPU as there."""
        if not self.left:
            return math.nan
        if self.device.type == "cpu":
            return train_speed.peak()
        side, at_once, took = 8192, 10, []
        a, b = (torch.randn(side, side, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        for _ in range(22):
            wait(self.device)
            start = time.perf_counter()
            for _ in range(at_once):
                a @ b
            wait(self.device)
            took.append(time.perf_counter() - start)
        del a, b
        _free()
        return at_once * 2 * side**3 / statistics.median(took[2:])


def _median(first: Figures, later: Sequence[Figures]) -> Figures:
    """Return figures with the median of the rates measured later, or with the reason why there are none."""
    rates = [each.rate for each in later if math.isfinite(each.rate)]
    if rates or not later:
        return first._replace(rate=statistics.median(rates) if rates else math.nan)
    return first._replace(rate=math.nan, remark=later[-1].remark)


HEADINGS = [
    *("part", "trained by", "N", "models", "batch", "block", "start-up, s", "tokens/s", "ours / it"),
    *("of peak", "peak, TFLOP/s", "GB", "hours", "remark"),
]


def row(
    part: str, case: Case, found: Figures, *, peak: float = math.nan, mine: float = math.nan, hours: float = math.nan
) -> list[str]:
    """Return what stands under `HEADINGS`. mine: the tokens/s that are set beside this row's."""
    recipe = case.recipe
    share = found.rate * recipe.flops_per_token / peak
    return [
        *(part, case.contender, f"{recipe.shape.size:,}", str(case.members), str(recipe.batch), str(recipe.block)),
        *(_number(found.start, ".1f"), _number(found.rate, ",.0f"), _number(mine / found.rate, ".2f")),
        *(_number(share, ".1%"), _number(peak / 1e12, ".3g"), _number(found.memory / 1e9, ".1f")),
        *(_number(hours, ".3g"), found.remark),
    ]


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


def single(plan: Plan, bench: Bench) -> Iterator[list[str]]:
    """Measure single models beside a plain loop, each as a run of 20 tokens a parameter is trained."""
    for size in plan.singles:
        recipe = recipe_for(size, 20 * size, vocabulary=plan.single_vocabulary, block=plan.single_block)
        cases = [Case(contender, replace(recipe, batch=plan.single_batch)) for contender in (OURS, PLAIN)]
        peak = bench.peak()
        mine, plain = bench.in_turn(cases, plan.seconds)
        yield row("single", cases[0], mine, peak=peak)
        yield row("single", cases[1], plain, peak=peak, mine=mine.rate)


def batch(plan: Plan, bench: Bench) -> Iterator[list[str]]:
    """Measure batches of models, then those who train one at a time."""
    whole = recipe_for(plan.swarm, plan.each, vocabulary=train_speed.VOCABULARY, block=train_speed.BLOCK)
    small = replace(whole, batch=plan.swarm_batch)
    together = [Case(OURS, small, members) for members in plan.members]
    alone = [Case(contender, small) for contender in (OURS, PLAIN, TRAINER)]
    mine = math.nan
    for case in [*together, Case(OURS, whole, _fit(whole, SWARM, bench.device)), *alone]:
        peak = bench.peak()
        found = bench.measure(case, plan.seconds)
        hours = SWARM * plan.each / found.rate / 3600
        yield row("batch", case, found, peak=peak, mine=mine, hours=hours)
        if case == together[0]:
            mine = found.rate


def _fit(recipe: Recipe, most: int, device: torch.device) -> int:
    """Return how many models a study trains together here, of so many; on the CPU it is one."""
    return max(1, min(most, int(Lab().machine(()).room / recipe.memory))) if device.type == "cuda" else 1


class Slice(NamedTuple):
    """The runs of one size of a study: a step of them, and the tokens of all, a shared stable phase counted once."""

    case: Case
    tokens: int


def slices(path: Path, device: torch.device) -> list[Slice]:
    """Return a study's sizes, those with most work first."""
    study = read_study_file(path)
    chains: dict[tuple[int, float, int], list[Recipe]] = {}
    for spec in [*grid(study, ""), *held_out(study, "")]:
        recipe = _recipe(spec, study.tokenizer.vocabulary)
        chains.setdefault((spec.size, spec.dose, spec.seed), []).append(recipe)
    found = []
    for size in {size for size, _, _ in chains}:
        own = [sorted(chain, key=lambda each: each.steps) for (of, _, _), chain in chains.items() if of == size]
        tokens = sum(map(_tokens, own))
        found.append(Slice(Case(OURS, own[0][-1], _fit(own[0][-1], len(own), device)), tokens))
    return sorted(found, key=lambda each: -each.tokens * each.case.recipe.shape.size)


def _recipe(spec: RunSpec, vocabulary: int) -> Recipe:
    settings = spec.settings
    return recipe_for(
        spec.size,
        spec.tokens,
        vocabulary=vocabulary,
        block=settings.block,
        batch_factor=settings.batch_factor,
        shortest=settings.shortest,
        rules=RECIPES[settings.recipe],
    )


def _tokens(chain: Sequence[Recipe]) -> int:
    """Return the tokens of runs that go on from each other's stable phase."""
    begins = [0, *(recipe.decay_start for recipe in chain if recipe.shortest)] + [0] * len(chain)
    steps = sum(recipe.steps - begin for recipe, begin in zip(chain, begins, strict=False))
    return steps * chain[0].batch * chain[0].block


def study(plan: Plan, bench: Bench) -> Iterator[list[str]]:
    """Measure steps of a study as its runs do them, and say how long it would take."""
    rates: dict[int, float] = {}
    parts = slices(ROOT / plan.study, bench.device)
    for case, tokens in parts:
        peak = bench.peak()
        found = bench.measure(case, plan.seconds)
        rates[case.recipe.shape.size] = found.rate
        yield row("study", case, found, peak=peak, hours=tokens / found.rate / 3600)
    rates = {size: rate for size, rate in rates.items() if math.isfinite(rate)}
    hours, bounded = 0.0, len(rates) < len(parts)
    for case, tokens in parts:
        larger = min((size for size in rates if size >= case.recipe.shape.size), default=None)
        hours += tokens / rates[larger] / 3600 if larger else math.nan
    whole = f"{'at most ' if bounded else ''}{hours:.3g}" if math.isfinite(hours) else "–"
    yield ["study", OURS, "all sizes", *["–"] * 9, whole, f"{sum(tokens for _, tokens in parts) / 1e9:.3g} B tokens"]


def tests(plan: Plan, bench: Bench) -> Iterator[list[str]]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", TESTS]
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=bench.left, capture_output=True, text=True)
        said = (done.stdout or done.stderr).strip().splitlines()[-1]
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr, flush=True)
    except subprocess.TimeoutExpired:
        said = TOO_LATE
    yield ["tests", TESTS, *["–"] * 11, said]


PARTS = {"single": single, "batch": batch, "study": study, "tests": tests}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_speed", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all where none is named")
    parser.add_argument("--minutes", type=float, default=9.5, help="of all parts together, at most")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    given = parser.parse_args(arguments)
    if wrong := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {min(wrong)}; take {', '.join(PARTS)}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU here; --device cpu tries the code on tiny models")
    began, device = time.perf_counter(), torch.device(given.device)
    plan = ON_GPU if device.type == "cuda" else ON_CPU
    _one_core(device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "One core"
    print(f"{where}, PyTorch {torch.__version__}.\n\n{head(HEADINGS)}", flush=True)
    chosen = {part: SHARES[part] for part in PARTS if part in given.parts or not given.parts}
    share = 0.0
    for part, own in chosen.items():
        share += own / sum(chosen.values())
        for cells in PARTS[part](plan, Bench(device, began + 60 * given.minutes * share)):
            print(line(cells), flush=True)
    print(f"\n{(time.perf_counter() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
