"""What a training process does: runs, or steps to time, with the corpus that it opens once.

Nothing heavy is imported until there is work, and whatever goes wrong in it becomes one sentence that names the run;
the traceback goes to `error.txt`.
"""

import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial, wraps
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, TypeVar

from infusionlaw.errors import InputError
from infusionlaw.files import write_text
from infusionlaw.processes import machine_too_small, serve
from infusionlaw.runners.together import ERROR, on_all
from infusionlaw.runs.begun import begun_step
from infusionlaw.runs.record import Progress, RunRecord, RunSpec, read_record

if TYPE_CHECKING:
    from infusionlaw.corpus.corpus import Corpus
    from infusionlaw.runners.schedule import Task
    from infusionlaw.training.loop import Row
    from infusionlaw.training.probe import Probes

T = TypeVar("T")
VISIBLE = "CUDA_VISIBLE_DEVICES"


class _Worker:
    """What it was started with: the study's folder, where progress goes, and GPUs that train each run together."""

    folder: Path
    queue: Any
    gpus: int = 1


def start(folder: Path, queue: Any, code: Path | None, devices: Any) -> None:
    """Begin to serve. code: the folder for compiled code; devices: a queue of GPUs, several to a name perhaps, or of
    empty names."""
    if device := devices.get():
        os.environ[VISIBLE] = device  # before torch looks
    if code is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(code)
    serve_folder(folder, queue, device.count(",") + 1)
    serve()


def serve_folder(folder: Path, queue: Any, gpus: int = 1) -> None:
    """Take work on a study's folder from now on. queue: where progress goes; gpus: that train each run together."""
    _Worker.folder, _Worker.queue, _Worker.gpus = folder, queue, gpus
    _material.cache_clear()


def _on_all_gpus(work: Callable[..., T]) -> Callable[..., T]:
    """Have all GPUs of a worker that has several do its work together."""

    @wraps(work)
    def done(*args: Any) -> T:
        if _Worker.gpus == 1:
            return work(*args)
        task = [[args[0]]] if isinstance(args[0], RunSpec) else args[0]
        runs = [spec.id for batch in task for spec in batch]
        found: T = on_all(done, args, _Worker.gpus, _Worker.folder, _Worker.queue, runs)
        return found

    return done


@_on_all_gpus
def execute(task: "Task", checkpoint_every: int) -> list[RunRecord]:
    """Do the runs of a task and return their records. Finished ones, of a worker that was lost since, are kept."""
    done: list[RunRecord] = []
    for batch in task:
        records = {spec: _Worker.folder / "runs" / spec.id / "record.json" for spec in batch}
        done += [read_record(path) for path in records.values() if path.exists()]
        specs = [spec for spec, path in records.items() if not path.exists()]
        if not specs:
            continue
        place = _Worker.folder / "runs" / specs[0].id
        done += _in_a_sentence(partial(_execute, specs, checkpoint_every), place, f"run {specs[0].id}")
        (place / ERROR).unlink(missing_ok=True)
    return done


@_on_all_gpus
def measure_start(spec: RunSpec) -> None:
    """Measure the checkpoint that a run begins from."""
    _in_a_sentence(partial(_measure_start, spec), _Worker.folder, f"measuring the start of run {spec.id}")


@_on_all_gpus
def calibrate(spec: RunSpec, members: int) -> tuple[float, float]:
    """Return the seconds of a step and of probing of one of `members` models that train together, for a run's shape."""
    return _in_a_sentence(partial(_calibrate, spec, members), _Worker.folder, f"timing a step of run {spec.id}")


def _in_a_sentence(work: Callable[[], T], place: Path, what: str) -> T:
    try:
        return work()
    except InputError:
        raise
    except Exception as error:
        kept = "its traceback could not be written"
        with suppress(OSError, InputError, MemoryError):
            write_text(place / ERROR, traceback.format_exc())
            kept = f"its traceback is in {place / ERROR}"
        raise InputError(f"{_Worker.folder}: {what} stopped: {_reason(error)}; {kept}") from None


def _reason(error: Exception) -> str:
    """Say what went wrong and what to do, in a line."""
    said = " ".join(str(error).split())[:200]
    if known := machine_too_small(error):
        return known
    if isinstance(error, OSError):
        return f"{said}; fix that and run the same command again"
    named = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"{named}; run the same command again to go on, and report it if it comes back"


@cache
def _material(block: int) -> "tuple[Corpus, Probes]":
    """Set this process up and return the study's corpus and its probes. block: of its runs."""
    from infusionlaw.corpus.corpus import open_corpus
    from infusionlaw.training.host import settle
    from infusionlaw.training.probe import build_probes

    settle()
    corpus = open_corpus(_Worker.folder / "corpus")
    return corpus, build_probes(corpus, block)


def _execute(specs: Sequence[RunSpec], checkpoint_every: int) -> list[RunRecord]:
    from infusionlaw.runners.execute import execute_together
    from infusionlaw.training.host import take_idle_cores
    from infusionlaw.training.resolve import recipe_of

    corpus, probes = _material(specs[0].settings.block)
    recipe = recipe_of(specs[0], corpus)
    take_idle_cores(recipe)
    done: list[RunRecord] = []
    for alike in _alike(specs, corpus):
        done += execute_together(
            alike,
            corpus,
            probes,
            _Worker.folder,
            checkpoint_every=checkpoint_every,
            on_progress=partial(_report, alike, recipe.steps),
        )
    return done


def _alike(specs: Sequence[RunSpec], corpus: "Corpus") -> list[list[RunSpec]]:
    """Return the runs of a batch by the step that they go on from: whoever was killed may not have written all."""
    from infusionlaw.training.resolve import stable_phase_of

    groups: dict[tuple[int, int], list[RunSpec]] = {}
    for spec in specs:
        places = f"runs/{spec.id}", f"stable/{stable_phase_of(spec, corpus) or spec.id}"
        run, stable = (begun_step(_Worker.folder / place) for place in places)
        groups.setdefault((run, stable), []).append(spec)
    return list(groups.values())


def _measure_start(spec: RunSpec) -> None:
    from infusionlaw.runners.execute import measure_start
    from infusionlaw.training.host import take_idle_cores
    from infusionlaw.training.resolve import recipe_of

    corpus, probes = _material(spec.settings.block)
    take_idle_cores(recipe_of(spec, corpus))
    measure_start(spec, corpus, probes, _Worker.folder)


def _report(specs: Sequence[RunSpec], steps: int, step: int, rows: "Sequence[Row]") -> None:
    from infusionlaw.training.group import leads

    if not leads():
        return
    for spec, row in zip(specs, rows, strict=True):
        _Worker.queue.put(Progress(spec.id, step, steps, row, _device()))


@cache
def _device() -> str:
    """Name what this process trains on: the machine, and its GPU or this process."""
    from infusionlaw.runners.execute import best_device

    gpu = f"GPU {os.environ.get(VISIBLE) or 0}"
    return f"{gethostname()} {gpu if best_device().type == 'cuda' else f'process {os.getpid()}'}"


def _calibrate(spec: RunSpec, members: int) -> tuple[float, float]:
    from infusionlaw.runners.execute import best_device
    from infusionlaw.training.host import take_idle_cores
    from infusionlaw.training.loop import time_steps
    from infusionlaw.training.probe import time_probing
    from infusionlaw.training.resolve import models_of, recipe_of
    from infusionlaw.training.sharded import placed

    corpus, probes = _material(spec.settings.block)
    recipe = recipe_of(spec, corpus)
    take_idle_cores(recipe)
    model = placed(lambda: models_of([spec] * members, recipe, corpus), recipe, best_device())
    streams = [corpus.mixture(0.5, spec.settings.prior_share, seed, block=recipe.block) for seed in range(members)]
    step, model = time_steps(model, recipe, streams) / members, model.alone(0)
    return step, time_probing(model, probes, recipe.block)
