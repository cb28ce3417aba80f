"""How far a running study is: a small file in its folder, for whoever sees the folder from any machine.

The process that runs a study writes it every few seconds, and removes it at the end. How old it is tells whether that
process is alive: both times are of the clock of the file system, so that those of two machines may differ.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname
from threading import Event, Lock, Thread

from infusionlaw.errors import InputError
from infusionlaw.files import read_typed, write_typed
from infusionlaw.lab import Watch
from infusionlaw.runs.record import REPORT_EVERY, Progress, RunRecord, RunSpec

FILE, EVERY = "progress.json", 5.0  # seconds between two writings
ALMOST = 0.999  # of a run that has done its steps and is not at its end
OVERHEAD = 60_000  # parameters' worth of work a token costs beside the model's own, for the time left


@dataclass(frozen=True)
class Running:
    """A run in training. quiet: seconds since it was heard of; started: of the clock of the machine that wrote it."""

    run: str
    size: int
    tokens: int
    dose: float
    unit: str
    seed: int
    device: str
    step: int
    steps: int
    quiet: float
    started: float


@dataclass(frozen=True)
class Now:
    """progress.json. stage: what was said last; left: seconds for the runs asked for so far, None where not known."""

    host: str
    process: int
    time: float
    stage: str
    done: int
    asked: int
    left: float | None
    runs: tuple[Running, ...]


def read_now(folder: Path) -> tuple[Now, float] | None:
    """Return what a study's folder says of its progress, and how many seconds ago; None where it says nothing."""
    path, clock = folder / FILE, _clock(folder)
    try:
        written = path.stat().st_mtime
        return read_typed(path, Now, "a study's progress", "remove it"), max(0.0, clock - written)
    except (OSError, InputError):
        return None


def _clock(folder: Path) -> float:
    """The time by the clock of a folder's file system; this machine's where nothing can be written there."""
    touched = folder / f".clock-{gethostname()}.{os.getpid()}.part"
    try:
        touched.touch()
        return touched.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            touched.unlink(missing_ok=True)


@contextmanager
def shown(folder: Path, watch: Watch, every: float = EVERY) -> Iterator[Watch]:
    """Give a watch that keeps the progress file of a study's folder, and tells `watch` all that it hears."""
    shows, over = _Shows(folder, watch), Event()

    def keep() -> None:
        while not over.wait(every):
            shows.write()

    thread = Thread(target=keep, daemon=True)
    shows.write()
    try:
        thread.start()
        yield shows
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()
        with suppress(OSError):
            (folder / FILE).unlink(missing_ok=True)


class Work:
    """How much is done of the work that this process has, by what each run takes beside others.

    What a run had done before, when it is first heard of, was not done now, and says nothing of the time for the rest;
    but what it took over from a shorter run of its stable phase was.
    """

    def __init__(self) -> None:
        self.specs: dict[str, RunSpec] = {}  # all that were asked for and not done then
        self.total = self.done = 0.0
        self._parts: dict[str, float] = {}  # done of those that were heard of
        self._kin: dict[RunSpec, list[str]] = {}  # runs that are equal but for their tokens
        self._begun = 0.0

    def ask(self, specs: Iterable[RunSpec]) -> None:
        """Count these too, each from its beginning."""
        self._begun = self._begun or time.monotonic()
        for spec in specs:
            if spec.id not in self.specs or self._parts.pop(spec.id, 0.0) == 1:
                self.total += _work(spec)
            if spec.id not in self.specs:
                self._kin.setdefault(replace(spec, tokens=0), []).append(spec.id)
            self.specs[spec.id] = spec

    def reach(self, progress: Progress) -> RunSpec | None:
        """Count how far a run has come, and return it; None of a done one, which may be heard of after its end."""
        return self._reach(progress.run, min(progress.step / progress.steps, ALMOST), progress.step <= REPORT_EVERY)

    def finish(self, run: str) -> None:
        """Count a run as done."""
        self._reach(run, 1.0, True)

    def _reach(self, run: str, part: float, fresh: bool) -> RunSpec | None:
        spec, before = self.specs.get(run), self._parts.get(run)
        if spec is None or before == 1:
            return None
        if before is None and not fresh and not self._takes_over(spec):
            self.total -= _work(spec) * part
        else:
            self.done += _work(spec) * (part - (before or 0.0))
        self._parts[run] = part
        return spec

    def _takes_over(self, spec: RunSpec) -> bool:
        """Whether a shorter run of its stable phase came to its end here."""
        kin = [run for run in self._kin[replace(spec, tokens=0)] if self.specs[run].tokens < spec.tokens]
        return any(self._parts.get(run, 0.0) >= ALMOST for run in kin)

    @property
    def part(self) -> float:
        """What is done of all, 0 to 1."""
        return self.done / (self.total or 1)

    @property
    def left(self) -> float | None:
        """Seconds for the rest of the runs asked for so far, at the speed so far; None where nothing is done yet."""
        if self.done <= 0:
            return None
        return (time.monotonic() - self._begun) * max(0.0, self.total - self.done) / self.done


def _work(spec: RunSpec) -> float:
    return float(spec.tokens * (spec.size + OVERHEAD))


class _Shows(Watch):
    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder, self._watch, self._lock = folder, watch, Lock()
        self._stage, self._done, self._asked = "", 0, 0
        self._work = Work()
        self._heard: dict[str, tuple[Progress, float, float]] = {}  # with when it was heard of, and first

    def stage(self, text: str) -> None:
        """Keep it."""
        self._stage = text
        self._watch.stage(text)

    def runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        """Count them."""
        with self._lock:
            self._done, self._asked = len(specs) - len(missing), len(specs)
            self._work.ask(missing)
        self._watch.runs(specs, missing)

    def progress(self, progress: Progress) -> None:
        """Take note of where the run is."""
        with self._lock:
            if self._work.reach(progress):
                _, _, first = self._heard.get(progress.run, (None, 0, time.time()))
                self._heard[progress.run] = progress, time.monotonic(), first
        self._watch.progress(progress)

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """Count it as done."""
        with self._lock:
            self._done += 1
            self._work.finish(spec.id)
            self._heard.pop(spec.id, None)
        self._watch.finished(spec, record)

    def write(self) -> None:
        """Write the file; a full disk or a lost folder is for others to say."""
        with self._lock:
            now = self._now()
        with suppress(OSError, InputError):
            write_typed(self._folder / FILE, now, Now)

    def _now(self) -> Now:
        clock, left = time.monotonic(), self._work.left
        running = tuple(
            Running(
                run=spec.id,
                size=spec.size,
                tokens=spec.tokens,
                dose=float(spec.dose),
                unit=spec.unit,
                seed=spec.seed,
                device=progress.device,
                step=progress.step,
                steps=progress.steps,
                quiet=round(clock - heard, 1),
                started=round(first, 1),
            )
            for progress, heard, first in self._heard.values()
            if (spec := self._work.specs.get(progress.run))
        )
        left = None if left is None else round(left, 1)
        return Now(gethostname(), os.getpid(), time.time(), self._stage, self._done, self._asked, left, running)
