"""Run a study on this machine: prepare a study's corpus, estimate its runs, and execute them.

One model per process with one thread each on the CPU, as many processes as cores; one process on a GPU, where runs that
differ only in dose and seed train together, as many as fit into its free memory. A worker ends itself when the process
that started it is gone, so a killed study leaves nothing running.
"""

import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

import torch

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.processes import check_shared_memory, cores, memory, room_for, told_if_too_many
from infusionlaw.runners.execute import best_device
from infusionlaw.runners.schedule import schedule, starts
from infusionlaw.runners.worker import ERROR, calibrate, execute, measure_start, start
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.settings import StudyFile
from infusionlaw.training.checkpoint import put_aside_damaged
from infusionlaw.training.compile import code_folder, worth_compiling
from infusionlaw.training.recipe import Recipe
from infusionlaw.training.resolve import check_text, doses_of, general_tokens, recipe_of, stable_phase_of
from infusionlaw.training.start import keep_start, measured

T = TypeVar("T")
LOOK, LISTEN = 0.1, 5.0  # seconds for which progress is waited for at a time, and for what is left of it at the end


class Lab:
    """Prepares, estimates and executes runs on this machine; what a study is handed."""

    def prepare(self, study: StudyFile, folder: Path) -> str:
        """The id of the study's corpus, prepared under `folder`/corpus or found there."""
        check_shared_memory()
        corpus = prepare(study, folder / "corpus")
        tokens = study.start.tokens if study.start else None
        for checkpoint in study.starts:
            place = study.base / checkpoint.checkpoint
            keep_start(folder, place, checkpoint.sha256 or "", corpus.tokenizer.vocabulary, tokens)
        return corpus.id

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        """The (N, D) that each run will really have; InputError for the first one that cannot be done."""
        recipes = checked_recipes(folder, specs)
        check_memory(recipes)
        return [(recipe.shape.size, recipe.tokens) for recipe in recipes]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        """What each run will hold and take; seconds come from a few steps of each shape, on all processes at once."""
        corpus = open_corpus(folder / "corpus")
        recipes = [recipe_of(spec, corpus) for spec in specs]
        at_once = min(processes(study), fitting(recipes))
        alike = [
            (spec.settings.start, recipe.shape, recipe.batch, worth_compiling(recipe, best_device()))
            for spec, recipe in zip(specs, recipes, strict=True)
        ]
        one_each = dict(zip(alike, specs, strict=True))  # runs that share a stable phase have one step
        seconds: dict[Any, tuple[float, float]] = {}
        with _pool(folder, at_once, code=_code(kind[-1] for kind in one_each)) as pool:
            timed = {pool.submit(calibrate, spec): kind for kind, spec in one_each.items()}
            for future in _as_completed(folder, timed, [spec.id for spec in one_each.values()], at_once):
                seconds[timed[future]] = future.result()
        (folder / ERROR).unlink(missing_ok=True)
        out = []
        for spec, recipe, kind, begin in zip(specs, recipes, alike, starts(specs, corpus), strict=True):
            share, exposures = doses_of(spec, recipe, corpus)
            step, probing = seconds[kind]
            out.append(
                Estimate(
                    run=spec.id,
                    size=recipe.shape.size,
                    total_size=recipe.shape.total_size,
                    tokens=recipe.tokens,
                    share=share,
                    exposures=exposures,
                    seed=spec.seed,
                    held_out=spec.held_out,
                    steps=recipe.steps,
                    memory=recipe.memory,
                    memory_parts=recipe.memory_parts,
                    seconds=step * (recipe.steps - begin) + probing,
                    processes=at_once,
                    passes=max(corpus.passes(general_tokens(spec, recipe, corpus)).values()),
                )
            )
        return out

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[RunRecord]:
        """Do the runs, the longest first, and yield each record as it is written under `folder`/runs."""
        if not specs:
            return
        corpus = open_corpus(folder / "corpus")
        _put_aside_damaged(specs, corpus, folder)
        tasks = schedule(specs, corpus, folder, _room())
        at_once = min(processes(study), len(tasks), fitting([recipe_of(spec, corpus) for spec in specs]))
        code = _code(worth_compiling(recipe_of(spec, corpus), best_device(), len(specs)) for spec in specs)
        with _pool(folder, at_once, on_progress, code) as pool:
            _measure_starts(pool, specs, corpus, folder, at_once)
            work = partial(execute, checkpoint_every=study.training.checkpoint_every)
            running = [pool.submit(work, task) for task in tasks]
            for future in _as_completed(folder, running, [task[0][0].id for task in tasks], at_once):
                yield from future.result()


def checked_recipes(folder: Path, specs: Sequence[RunSpec]) -> list[Recipe]:
    """Return the recipe of each run of a study's folder; InputError for the first one that cannot be trained."""
    corpus = open_corpus(folder / "corpus")
    recipes = [recipe_of(spec, corpus) for spec in specs]
    for spec, recipe in zip(specs, recipes, strict=True):
        check_text(spec, recipe, corpus)
    return recipes


def _measure_starts(
    pool: ProcessPoolExecutor, specs: Sequence[RunSpec], corpus: Corpus, folder: Path, at_once: int
) -> None:
    """Measure the checkpoints that runs begin from, before any training; what was measured before is kept."""
    one_each = {spec.settings.start: spec for spec in specs}
    new = [
        spec
        for start, spec in one_each.items()
        if start and measured(folder, start, corpus.id, spec.settings.block) is None
    ]
    for future in _as_completed(
        folder, [pool.submit(measure_start, spec) for spec in new], [s.id for s in new], at_once
    ):
        future.result()


def _as_completed(folder: Path, running: Iterable[Future[T]], runs: Sequence[str], at_once: int) -> Iterator[Future[T]]:
    """Yield what is done, of work on some runs; InputError with those in hand where a process was killed."""
    in_order = list(running)
    for future in as_completed(in_order):
        if not isinstance(future.exception(), BrokenProcessPool):
            yield future
            continue
        killed = (isinstance(each.exception(), BrokenProcessPool) for each in in_order)  # first come, first served
        in_hand = [run for run, broken in zip(runs, killed, strict=True) if broken][:at_once]
        raise InputError(
            f"{folder}: a training process was killed from outside (out of memory?) at work on run "
            f"{' or '.join(in_hand)}; run the same command again to go on, with fewer [training] processes if memory "
            "was short"
        ) from future.exception()


def _code(compiles: Iterable[bool]) -> Path | None:
    """Return the folder for compiled code, if there will be any."""
    return code_folder() if any(compiles) else None


def processes(study: StudyFile) -> int:
    """Return how many runs train at once on this machine: one on a GPU, else one a core or what the study file asks."""
    if best_device().type == "cuda":
        return 1
    return study.training.processes or cores()


def check_memory(recipes: Sequence[Recipe]) -> None:
    """InputError where a run holds more than this machine has."""
    largest, there = max(recipes, key=lambda recipe: recipe.memory, default=None), _memory()
    if largest is None or largest.memory <= there:
        return
    parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in largest.memory_parts.items())
    raise InputError(
        f"a run of {largest.shape.size:,} parameters holds {largest.memory / 1e9:.1f} GB ({parts}), and this machine "
        f"has {there / 1e9:.1f} GB; take a smaller model, a shorter block or a larger machine"
    )


def fitting(recipes: Sequence[Recipe]) -> int:
    """Return how many runs this machine has memory for at once, at least 1."""
    return room_for(max((recipe.memory for recipe in recipes), default=0), _memory())


def _memory() -> int:
    """Return the bytes that models may take: a GPU's, else the machine's."""
    if best_device().type == "cuda":
        return int(torch.cuda.mem_get_info()[1])
    return memory()


def _put_aside_damaged(specs: Sequence[RunSpec], corpus: Corpus, folder: Path) -> None:
    """Put aside the checkpoints that do not hold, before runs that go on from one step are put in one batch."""
    for spec in specs:
        put_aside_damaged(folder / "runs" / spec.id, recipe_of(spec, corpus).steps)
    for phase in sorted({stable_phase_of(spec, corpus) for spec in specs} - {""}):
        put_aside_damaged(folder / "stable" / phase)


def _room() -> float:
    """Return the bytes that one batch of models may take: most of a GPU's free memory.

    On the CPU nothing, so that every model trains alone.
    """
    return 0.8 * torch.cuda.mem_get_info()[0] if best_device().type == "cuda" else 0.0


@contextmanager
def _pool(
    folder: Path,
    size: int,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    code: Path | None = None,
) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of training processes; leaving it early stops them, their checkpoints stay."""
    context = get_context("spawn")
    queue, over = context.Queue(), threading.Event()
    pool = ProcessPoolExecutor(size, context, start, (folder, queue, code))
    listener = threading.Thread(target=_listen, args=(queue, over, on_progress), daemon=True)
    try:
        with told_if_too_many():
            listener.start()
            yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):  # first, or whatever else waits could leave them
            process.kill()  # which ends one that is stopped, too
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        with suppress(RuntimeError):  # where its thread could not be started
            pool.shutdown()
        over.set()
        if listener.ident is not None:
            listener.join(LISTEN)


def _listen(queue: Any, over: threading.Event, on_progress: Callable[[Progress], None]) -> None:
    """Pass on the workers' progress. Never stop reading, or they could not end: a listener that fails is dropped."""
    failed = False
    while True:
        try:
            progress = queue.get(timeout=LOOK)
        except Empty:
            if over.is_set():
                return
            continue
        if failed:
            continue
        try:
            on_progress(progress)
        except Exception:
            traceback.print_exc()
            failed = True
