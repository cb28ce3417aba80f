"""Run a study on this machine: prepare a study's corpus, estimate its runs, and execute them.

One model per process with one thread each on the CPU, as many processes as cores; one process on a GPU, where runs that
differ only in dose and seed train together, as many as fit into its free memory. A worker ends itself when the process
that started it is gone, so a killed study leaves nothing running.
"""

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.processes import cores, serve
from infusionlaw.runners.execute import best_device, execute_together
from infusionlaw.runners.schedule import Task, schedule, starts
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.settings import StudyFile
from infusionlaw.training.checkpoint import put_aside_damaged
from infusionlaw.training.compile import worth_compiling
from infusionlaw.training.host import settle
from infusionlaw.training.loop import time_steps
from infusionlaw.training.model import Model
from infusionlaw.training.probe import Probes, build_probes, measure
from infusionlaw.training.resolve import doses_of, recipe_of, stable_phase_of


class Lab:
    """Prepares, estimates and executes runs on this machine; what a study is handed."""

    def prepare(self, study: StudyFile, folder: Path) -> str:
        """The id of the study's corpus, prepared under `folder`/corpus or found there."""
        return prepare(study, folder / "corpus").id

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        """The (N, D) that each run will really have; InputError for the first one that cannot be done."""
        corpus = open_corpus(folder / "corpus")
        recipes = [recipe_of(spec, corpus) for spec in specs]
        for spec, recipe in zip(specs, recipes, strict=True):
            doses_of(spec, recipe, corpus)
        return [(recipe.shape.size, recipe.tokens) for recipe in recipes]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        """What each run will hold and take; seconds come from a few steps of each shape, on all processes at once."""
        corpus = open_corpus(folder / "corpus")
        at_once, text = processes(study), len(corpus.train)
        recipes = [recipe_of(spec, corpus) for spec in specs]
        alike = [(recipe.shape, recipe.batch, worth_compiling(recipe, best_device())) for recipe in recipes]
        one_each = dict(zip(alike, specs, strict=True))  # runs that share a stable phase have one step
        with _pool(folder, at_once) as pool:
            seconds = dict(zip(one_each, pool.map(_calibrate, one_each.values()), strict=True))
        out = []
        for spec, recipe, kind, start in zip(specs, recipes, alike, starts(specs, corpus), strict=True):
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
                    seconds=step * (recipe.steps - start) + probing,
                    processes=at_once,
                    passes=(1 - share) * (1 - spec.settings.prior_share) * recipe.tokens / text,
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
        with _pool(folder, min(processes(study), len(tasks)), on_progress) as pool:
            work = partial(_execute, checkpoint_every=study.training.checkpoint_every)
            running: list[Future[list[RunRecord]]] = [pool.submit(work, task) for task in tasks]
            try:
                for future in as_completed(running):
                    yield from future.result()
            except BrokenProcessPool as error:
                raise InputError(
                    f"{folder}: a training process was killed from outside (out of memory?); run the same command "
                    "again to go on, with fewer [training] processes if memory was short"
                ) from error


def processes(study: StudyFile) -> int:
    """Return how many runs train at once on this machine: one on a GPU, else one a core or what the study file asks."""
    if best_device().type == "cuda":
        return 1
    return study.training.processes or cores()


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
    folder: Path, size: int, on_progress: Callable[[Progress], None] = lambda progress: None
) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of training processes; leaving it early stops them, their checkpoints stay."""
    context = get_context("spawn")
    queue = context.Queue()
    pool = ProcessPoolExecutor(size, context, _start_worker, (folder, queue))
    listener = threading.Thread(target=_listen, args=(queue, on_progress), daemon=True)
    listener.start()
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):  # first, or whatever else waits could leave them
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        queue.put(None)
        listener.join()
        pool.shutdown()


def _listen(queue: Any, on_progress: Callable[[Progress], None]) -> None:
    """Pass on the workers' progress. Never stop reading, or they could not end: a listener that fails is dropped."""
    failed = False
    while (progress := queue.get()) is not None:
        if failed:
            continue
        try:
            on_progress(progress)
        except Exception:
            traceback.print_exc()
            failed = True


class _Worker:
    """What a training process keeps between runs."""

    folder: Path
    queue: Any
    corpus: Corpus
    probes: Probes


def _start_worker(folder: Path, queue: Any) -> None:
    serve()
    settle()
    _Worker.folder, _Worker.queue = folder, queue
    _Worker.corpus = open_corpus(folder / "corpus")
    _Worker.probes = build_probes(_Worker.corpus)


def _execute(task: Task, checkpoint_every: int) -> list[RunRecord]:
    done: list[RunRecord] = []
    for specs in task:
        done += execute_together(
            specs,
            _Worker.corpus,
            _Worker.probes,
            _Worker.folder,
            checkpoint_every=checkpoint_every,
            on_progress=partial(_report, specs, recipe_of(specs[0], _Worker.corpus).steps),
        )
    return done


def _report(specs: Sequence[RunSpec], steps: int, step: int) -> None:
    for spec in specs:
        _Worker.queue.put(Progress(spec.id, step, steps))


def _calibrate(spec: RunSpec) -> tuple[float, float]:
    """Return the seconds of a step and of probing, for a run's shape."""
    recipe = recipe_of(spec, _Worker.corpus)
    model = Model(recipe.shape, [torch.Generator().manual_seed(0)]).to(best_device())
    mixture = _Worker.corpus.mixture(0.5, spec.settings.prior_share, 0)
    step = time_steps(model, recipe, [mixture])
    start = time.perf_counter()
    measure(model, _Worker.corpus, _Worker.probes, recipe.block)
    return step, time.perf_counter() - start
