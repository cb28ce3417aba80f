"""Prepare a study's corpus, estimate its runs and execute them, on whatever workers a runner opens.

A runner is a `Lab` with two methods of its own: `machine` says what trains, and `workers` opens it. Runs that differ
only in dose and seed train together on a GPU, as many as fit into its free memory; on the CPU every model trains alone.
"""

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from infusionlaw.corpus.corpus import Corpus, open_corpus
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.processes import room_for
from infusionlaw.quantities import in_bytes
from infusionlaw.runners.schedule import Task, schedule, starts
from infusionlaw.runners.together import ERROR
from infusionlaw.runners.worker import calibrate, execute, measure_start
from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec
from infusionlaw.settings import StudyFile
from infusionlaw.training.checkpoint import put_aside_damaged
from infusionlaw.training.compile import worth_compiling
from infusionlaw.training.recipe import Recipe, Shape
from infusionlaw.training.resolve import check_text, doses_of, general_tokens, recipe_of, stable_phase_of
from infusionlaw.training.start import FOLDER as STARTS
from infusionlaw.training.start import keep_start, measured

T = TypeVar("T")
OnProgress = Callable[[Progress], None]
MOST_SHARERS = 4  # workers of one GPU
MIG = "MIG"  # begins the name of a slice of a GPU
PATIENCE = 30.0  # seconds after which a dry run times no more steps


class Part(NamedTuple):
    """Runs that workers of `gpus` GPUs each train, and how many workers at once.

    gpus: 1 also where it is a core, and less where workers share a GPU.
    """

    specs: list[RunSpec]
    recipes: list[Recipe]
    gpus: float
    at_once: int


def sharers(cores: float) -> int:
    """Return how many workers may share a GPU that has so many cores: each needs one."""
    return max(1, min(MOST_SHARERS, int(cores)))


@dataclass(frozen=True)
class Machine:
    """What trains: `count` workers, each a GPU or a core.

    memory: bytes that the models of one worker may hold, or of all together where they share it; room: bytes that a
    batch of models may take, 0 where each trains alone; together: GPUs of one host, which can train one run together;
    sharing: workers that may share a GPU; name: of the kind of GPU, "" where nobody says.
    """

    gpu: bool
    count: int
    memory: int
    shared: bool = False
    room: float = 0.0
    together: int = 1
    sharing: int = 1
    name: str = ""

    @property
    def device(self) -> torch.device:
        """The kind of device."""
        return torch.device("cuda" if self.gpu else "cpu")

    def at_once(self, recipes: Sequence[Recipe], asked: int | None) -> int:
        """Return how many workers can serve at once. asked: by the study file."""
        fit = room_for(max((each.memory for each in recipes), default=0), self.memory) if self.shared else self.count
        return min(asked or self.count, fit, self.count if self.gpu else fit)

    def gpus_for(self, recipe: Recipe, asked: int | None = None) -> int:
        """Return how many GPUs train a run: one, or those of a host where one cannot hold it.

        Of these a power of two, into which the weights of our own shapes can be divided. asked: by the study file.
        """
        most = min(asked or self.together, self.together)
        return 1 if recipe.memory <= self.memory else 1 << (most.bit_length() - 1)

    def sharers_of(self, specs: Sequence[RunSpec], recipes: Sequence[Recipe], gpus: int) -> int:
        """Return how many workers share each of some GPUs: several where models cannot train as a batch.

        As many as there is memory for, but no more than have work on all GPUs.
        """
        if self.sharing == 1 or any(isinstance(recipe.shape, Shape) for recipe in recipes):
            return 1
        tasks = len({replace(spec, tokens=0) for spec in specs})  # runs of one stable phase are one task
        fit = room_for(max(recipe.memory for recipe in recipes), int(self.room))
        return max(1, min(self.sharing, fit, tasks // gpus))

    def parts(self, specs: Sequence[RunSpec], recipes: Sequence[Recipe], asked: int | None) -> list[Part]:
        """Return the runs that a worker of one GPU or core can train, and those that take several."""
        needs = [self.gpus_for(recipe, asked) for recipe in recipes]
        found = []
        for gpus in sorted(set(needs)):
            chosen = [number for number, need in enumerate(needs) if need == gpus]
            runs, own = [specs[number] for number in chosen], [recipes[number] for number in chosen]
            count = self.at_once(own, asked)
            sharers = self.sharers_of(runs, own, count) if gpus == 1 else 1
            found.append(Part(runs, own, gpus / sharers, max(1, count // gpus) * sharers))
        return found


@dataclass(frozen=True)
class Sort:
    """Runs whose steps take equally long: one of them, and how many of its models train together."""

    spec: RunSpec
    recipe: Recipe
    members: int

    @property
    def flops(self) -> float:
        """FLOPs of a step of one model."""
        return self.recipe.flops_per_token * self.recipe.batch * self.recipe.block


@dataclass(frozen=True)
class Pace:
    """Seconds of a worker that a step of one model takes, and its probing. timed: or told from its FLOPs."""

    step: float
    probing: float
    timed: bool = True


def dropped_if_it_fails(listener: OnProgress) -> OnProgress:
    """Return a listener that never raises, and hears nothing more once it has failed."""
    failed = False

    def hear(progress: Progress) -> None:
        nonlocal failed
        if failed:
            return
        try:
            listener(progress)
        except Exception:
            traceback.print_exc()
            failed = True

    return hear


class Workers(Protocol):
    """Open workers that serve a study's folder."""

    def submit(self, work: Callable[..., T], *args: Any, places: Sequence[str] = ()) -> "Future[T]":
        """Have a worker do a function of `runners.worker`.

        places: the folders below the study's that the work goes on from and writes.
        """
        ...


class Lab(ABC):
    """Prepares, estimates and executes runs; what a study is handed.

    address: where it is reached; none has one but a cluster.
    """

    asked: int | None = None  # GPUs or cores, by the study that was prepared last

    def __init__(self, address: str = "") -> None:
        if address:
            raise InputError(f'only a cluster has an address; leave "{address}" out, or take --on ray')

    @abstractmethod
    def machine(self, recipes: Sequence[Recipe]) -> Machine:
        """Return what these runs would train on."""

    @abstractmethod
    def workers(
        self, folder: Path, part: Part, count: int, on_progress: OnProgress = lambda progress: None
    ) -> AbstractContextManager[Workers]:
        """Open `count` workers of a study's folder, with `part.gpus` GPUs each or a core, for the runs of the part.

        Leaving early stops the workers; their checkpoints stay.
        """

    def prepare(self, study: StudyFile, folder: Path) -> str:
        """The id of the study's corpus, prepared under `folder`/corpus or found there."""
        self.asked = study.run.devices
        corpus = prepare(study, folder / "corpus")
        tokens = study.start.tokens if study.start else None
        for checkpoint in study.starts:
            place = study.base / checkpoint.checkpoint
            keep_start(folder, place, checkpoint.sha256 or "", corpus.tokenizer.vocabulary, tokens)
        return corpus.id

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]:
        """The (N, D) that each run will really have; InputError for the first one that cannot be done."""
        recipes = checked_recipes(folder, specs)
        self.check_memory(recipes)
        return [(recipe.shape.size, recipe.tokens) for recipe in recipes]

    def estimate(self, study: StudyFile, folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]:
        """What each run will hold and take when nothing of the study is done."""
        corpus = open_corpus(folder / "corpus")
        recipes = [recipe_of(spec, corpus) for spec in specs]
        machine, asked = self.machine(recipes), study.run.devices
        _check_memory(machine, recipes, asked)
        begins = dict(zip((spec.id for spec in specs), starts(specs, corpus), strict=True))
        found: dict[str, Estimate] = {}
        done = 0  # tasks of the parts before
        for part in machine.parts(specs, recipes, asked):
            tasks = schedule(part.specs, corpus, None, machine.room, part.at_once)
            places = {
                spec.id: (done + number, len(batch))
                for number, task in enumerate(tasks)
                for batch in task
                for spec in batch
            }
            done += len(tasks)
            sorts: dict[Hashable, Sort] = {}  # runs that share a stable phase have one step
            alike: list[Hashable] = []
            for spec, recipe in zip(part.specs, part.recipes, strict=True):
                members = places[spec.id][1]
                compiled = worth_compiling(recipe, machine.device, members)
                alike.append((spec.settings.start, recipe.shape, recipe.batch, compiled, members))
                sorts[alike[-1]] = Sort(spec, recipe, members)
            paces = self.paces(folder, sorts, part)
            for spec, recipe, kind in zip(part.specs, part.recipes, alike, strict=True):
                share, exposures = doses_of(spec, recipe, corpus)
                steps, pace = recipe.steps - begins[spec.id], paces[kind]
                memory_parts = recipe.memory_of(max(1, int(part.gpus)))
                found[spec.id] = Estimate(
                    run=spec.id,
                    size=recipe.shape.size,
                    total_size=recipe.shape.total_size,
                    tokens=recipe.tokens,
                    share=share,
                    exposures=exposures,
                    seed=spec.seed,
                    held_out=spec.held_out,
                    steps=recipe.steps,
                    memory=sum(memory_parts.values()),
                    memory_parts=memory_parts,
                    seconds=pace.step * steps + pace.probing,
                    processes=part.at_once,
                    passes=max(corpus.passes(general_tokens(spec, recipe, corpus)).values()),
                    gpus=part.gpus,
                    flops=sorts[kind].flops * steps,
                    task=places[spec.id][0],
                    device=machine.name or ("GPU" if machine.gpu else "core"),
                    timed=pace.timed,
                )
        return [found[spec.id] for spec in specs]

    def paces(self, folder: Path, sorts: Mapping[Hashable, Sort], part: Part) -> dict[Hashable, Pace]:
        """How fast each sort of run is: a few steps are timed on all workers at once, the smallest models first.

        Workers that share a GPU all time the same, and the slowest counts.
        What has not been timed after PATIENCE is told from its FLOPs, at the speed of the largest that has.
        """
        copies = part.at_once if part.gpus < 1 else 1
        waiting = [kind for kind in sorted(sorts, key=lambda kind: sorts[kind].flops) for _ in range(copies)]
        found: dict[Hashable, Pace] = {}
        over = monotonic() + PATIENCE
        running: dict[Future[tuple[float, float]], Hashable] = {}
        at_once = part.at_once
        with suppress(_LongEnough), self.workers(folder, part, at_once) as pool:
            while waiting or running:
                while waiting and len(running) < at_once:
                    kind = waiting.pop(0)
                    running[pool.submit(calibrate, sorts[kind].spec, sorts[kind].members)] = kind
                done, _ = wait(running, max(0.0, over - monotonic()) if found else None, FIRST_COMPLETED)
                if not done:
                    raise _LongEnough
                runs = [sorts[running[future]].spec.id for future in done]
                for future in _as_completed(folder, done, runs, at_once):
                    kind, pace = running.pop(future), Pace(*future.result())
                    found[kind] = max(found.get(kind, pace), pace, key=lambda each: each.step)
        (folder / ERROR).unlink(missing_ok=True)
        known = max(found, key=lambda kind: sorts[kind].flops)
        of, pace = sorts[known], found[known]
        for kind, sort in sorts.items():
            larger = sort.recipe.flops_per_token / of.recipe.flops_per_token
            found.setdefault(kind, Pace(pace.step * sort.flops / of.flops, pace.probing * larger, timed=False))
        return found

    def execute(
        self,
        study: StudyFile,
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> Iterator[RunRecord]:
        """Do the runs and yield each record as it is written under `folder`/runs.

        The longest come first, but those that take several GPUs each come last.
        """
        if not specs:
            return
        corpus = open_corpus(folder / "corpus")
        _put_aside_damaged(specs, corpus, folder)
        recipes = [recipe_of(spec, corpus) for spec in specs]
        machine = self.machine(recipes)
        _check_memory(machine, recipes, study.run.devices)
        for part in machine.parts(specs, recipes, study.run.devices):
            tasks = schedule(part.specs, corpus, folder, machine.room, part.at_once)
            at_once = min(len(tasks), part.at_once)
            with self.workers(folder, part, at_once, on_progress) as pool:
                _measure_starts(pool, part.specs, corpus, folder, at_once)
                every = study.training.checkpoint_every
                running = [pool.submit(execute, task, every, places=_places(task, corpus)) for task in tasks]
                for future in _as_completed(folder, running, [task[0][0].id for task in tasks], at_once):
                    yield from future.result()

    def check_memory(self, recipes: Sequence[Recipe]) -> None:
        """InputError where a run holds more than a worker has, and more than all GPUs of a host have together."""
        if recipes:
            _check_memory(self.machine(recipes), recipes, self.asked)


def _check_memory(machine: Machine, recipes: Sequence[Recipe], asked: int | None = None) -> None:
    held = [(recipe, gpus, recipe.memory_of(gpus)) for recipe in recipes for gpus in [machine.gpus_for(recipe, asked)]]
    recipe, gpus, parts = max(held, key=lambda each: sum(each[2].values()))
    memory = sum(parts.values())
    if memory <= machine.memory:
        return
    each = f" on each of {gpus} GPUs" if gpus > 1 else ""
    has = f"one {machine.name} has" if machine.name else "there are"
    listed = ", ".join(f"{name} {in_bytes(size)}" for name, size in parts.items())
    raise InputError(
        f"a run of {recipe.shape.size:,} parameters holds {in_bytes(memory)}{each} ({listed}), and "
        f"{has} {in_bytes(machine.memory)}; take a smaller model, a shorter block or a larger machine"
    )


class _LongEnough(Exception):
    """What is timed has taken long enough."""


def checked_recipes(folder: Path, specs: Sequence[RunSpec]) -> list[Recipe]:
    """Return the recipe of each run of a study's folder; InputError for the first one that cannot be trained."""
    corpus = open_corpus(folder / "corpus")
    recipes = [recipe_of(spec, corpus) for spec in specs]
    for spec, recipe in zip(specs, recipes, strict=True):
        check_text(spec, recipe, corpus)
    return recipes


def _measure_starts(pool: Workers, specs: Sequence[RunSpec], corpus: Corpus, folder: Path, at_once: int) -> None:
    """Measure the checkpoints that runs begin from, before any training; what was measured before is kept."""
    one_each = {spec.settings.start: spec for spec in specs}
    new = [
        spec
        for start, spec in one_each.items()
        if start and measured(folder, start, corpus.id, spec.settings.block) is None
    ]
    for future in _as_completed(
        folder, [pool.submit(measure_start, spec, places=(STARTS,)) for spec in new], [s.id for s in new], at_once
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
            f"{' or '.join(in_hand)}; run the same command again to go on, with fewer [run] devices if memory "
            "was short"
        ) from future.exception()


def _places(task: Task, corpus: Corpus) -> list[str]:
    """Return the folders that a task goes on from and writes: of its runs and of their stable phases."""
    specs = [spec for batch in task for spec in batch]
    phases = sorted({stable_phase_of(spec, corpus) for spec in specs} - {""})
    return [*(f"runs/{spec.id}" for spec in specs), *(f"stable/{phase}" for phase in phases)]


def _put_aside_damaged(specs: Sequence[RunSpec], corpus: Corpus, folder: Path) -> None:
    """Put aside the checkpoints that do not hold, before runs that go on from one step are put in one batch."""
    for spec in specs:
        put_aside_damaged(folder / "runs" / spec.id, recipe_of(spec, corpus).steps)
    for phase in sorted({stable_phase_of(spec, corpus) for spec in specs} - {""}):
        put_aside_damaged(folder / "stable" / phase)
