"""Run a study on this machine.

One model per process with one thread each on the CPU, as many processes as cores; one process a GPU. A worker ends
itself when the process that started it is gone, so a killed study leaves nothing running.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar

import torch

from infusionlaw.processes import Pool, check_shared_memory, cores, deaf, memory, told_if_too_many
from infusionlaw.runners import lab
from infusionlaw.runners.lab import MIG, Machine, OnProgress, Part, dropped_if_it_fails, sharers
from infusionlaw.runners.schedule import MOST
from infusionlaw.runners.worker import VISIBLE, start
from infusionlaw.runs.record import Progress
from infusionlaw.settings import StudyFile
from infusionlaw.training.compile import code_folder, worth_compiling
from infusionlaw.training.recipe import Recipe

T = TypeVar("T")
LOOK, LISTEN = 0.1, 5.0  # seconds for which progress is waited for at a time, and for what is left of it at the end


class Lab(lab.Lab):
    """Trains on this machine: its GPUs if it has any, else its cores."""

    def prepare(self, study: StudyFile, folder: Path) -> str:
        """Prepare a study's corpus under `folder`/corpus, or find it there, and return its id."""
        check_shared_memory()
        return super().prepare(study, folder)

    def machine(self, recipes: Sequence[Recipe]) -> Machine:
        """Return this machine."""
        if not torch.cuda.is_available():
            return Machine(False, cores(), memory(), shared=True)
        free, there = torch.cuda.mem_get_info()
        there_are = gpus()
        together = 1 if there_are[0].startswith(MIG) else len(there_are)  # slices cannot work together
        sharing = sharers(cores() / len(there_are))
        return Machine(True, len(there_are), there, room=MOST * free, together=together, sharing=sharing)

    @contextmanager
    def workers(
        self, folder: Path, part: Part, count: int, on_progress: OnProgress = lambda progress: None
    ) -> Iterator["_Workers"]:
        """Open a pool of training processes; leaving it early stops them, their checkpoints stay."""
        context = get_context("spawn")
        with deaf():
            queue, over, devices = context.Queue(), threading.Event(), context.SimpleQueue()
        for name in _devices(part, count):
            devices.put(name)
        device = torch.device("cuda" if gpus() else "cpu")
        most = len(part.recipes)
        code = code_folder() if any(worth_compiling(each, device, most) for each in part.recipes) else None
        pool = Pool(count, start, (folder, queue, code, devices))
        listener = threading.Thread(target=_listen, args=(queue, over, on_progress), daemon=True)
        try:
            with told_if_too_many():
                listener.start()
                yield _Workers(pool)
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


class _Workers:
    """Processes of this machine, which all see the study's folder."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, work: Callable[..., T], *args: Any, places: Sequence[str] = ()) -> "Future[T]":
        return self._pool.submit(work, *args)


def gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; MIG slices are one each."""
    if not torch.cuda.is_available():
        return []
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    slices = [name for name in named if name.startswith(MIG)]  # of which a process sees only the first
    return (
        slices or (named or [str(number) for number in range(torch.cuda.device_count())])[: torch.cuda.device_count()]
    )


def _devices(part: Part, count: int) -> list[str]:
    """Return the GPUs of each of `count` workers, several to a name perhaps; empty names where there is none."""
    there = gpus()[: round(part.gpus * part.at_once)]
    if not there:
        return [""] * count
    each = max(1, int(part.gpus))
    groups = [",".join(there[first : first + each]) for first in range(0, len(there), each)]
    return [groups[number % len(groups)] for number in range(count)]


def _listen(queue: Any, over: threading.Event, on_progress: Callable[[Progress], None]) -> None:
    """Pass on the workers' progress. Never stop reading, or they could not end: a listener that fails is dropped."""
    hear = dropped_if_it_fails(on_progress)
    while True:
        try:
            hear(queue.get(timeout=LOOK))
        except Empty:
            if over.is_set():
                return
