"""What a person sees while a study runs: a line for each device, one for the study, a line a finished run.

A program sees lines of JSON instead.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock, Timer
from time import monotonic
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from infusionlaw.errors import visible
from infusionlaw.lab import Watch
from infusionlaw.law.numbers import number
from infusionlaw.quantities import in_bytes
from infusionlaw.runs.record import Estimate, RunRecord, RunSpec
from infusionlaw.runs.record import Progress as Steps
from infusionlaw.study.progress import Work

SPEED_OVER = 600.0  # seconds that the speed, and so the time left, is taken over
ROWS = 60  # of the table of a dry run
PATIENCE = 5.0  # seconds that pass before something that takes long is named


class ConsoleWatch(Watch):
    """Draws a line a device and one for the study, with the time left; plain lines where there is no terminal.

    every: seconds between the lines that say how far the study is where there is no terminal.
    """

    def __init__(self, console: Console | None = None, every: float = 60.0) -> None:
        self.console = console or Console()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("so far,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self._bars = Progress(*columns, console=self.console, transient=True, speed_estimate_period=SPEED_OVER)
        self._work = Work()
        self._where: dict[str, str] = {}  # the device of each run in training
        self._devices: dict[str, _Device] = {}
        self._study: TaskID | None = None
        self._done = self._asked = 0
        self._every, self._said = every, 0.0
        self._lock = Lock()  # progress comes from another thread

    def __enter__(self) -> "ConsoleWatch":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, text: str) -> None:
        """A line in bold."""
        self.console.print(Text(visible(text), style="bold"), soft_wrap=True)

    def runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        """Start the study's bar, or lengthen it by what has been added."""
        with self._lock:
            self._runs(specs, missing)

    def progress(self, progress: Steps) -> None:
        """Move the line of the run's device and the study's."""
        with self._lock:
            if spec := self._work.reach(progress):
                self._progress(spec, progress)

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """Take the run from its device's line and say what came out."""
        with self._lock:
            self._done += 1
            self._leave(spec)
            self._work.finish(spec.id)
            self._draw_study()
            line = f"{self._done:4}/{self._asked}  {_name(spec)}  {_scores(record)}"
            self.console.print(Text(line), soft_wrap=True)

    def _runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        self._work.ask(missing)
        self._asked, self._done = len(specs), len(specs) - len(missing)
        if self._study is None:
            self._study, self._said = self._bars.add_task(""), monotonic()
        self._draw_study()

    def _progress(self, spec: RunSpec, progress: Steps) -> None:
        device = progress.device or spec.id
        if self._where.get(spec.id) != device:
            self._leave(spec)
            self._enter(spec, device)
        self._bars.update(self._devices[device].line, completed=progress.step, total=progress.steps)
        self._draw_study()
        if not self.console.is_terminal and monotonic() >= self._said + self._every:
            self._say_how_far()

    def _enter(self, spec: RunSpec, name: str) -> None:
        """Put a run on a device."""
        self._where[spec.id] = name
        if name not in self._devices:
            self._devices[name] = _Device("" if name == spec.id else name, self._bars.add_task("", total=None))
        self._devices[name].specs[spec.id] = spec
        self._name_device(self._devices[name])

    def _leave(self, spec: RunSpec) -> None:
        """Take a run from its device, and the line of the device away if nothing is left on it."""
        name = self._where.pop(spec.id, None)
        if name is None:
            return
        device = self._devices[name]
        del device.specs[spec.id]
        if device.specs:
            self._name_device(device)
        else:
            self._bars.remove_task(self._devices.pop(name).line)

    def _name_device(self, device: "_Device") -> None:
        first, count = next(iter(device.specs.values())), len(device.specs)
        text = _name(first) if count == 1 else f"{number(first.size):>5}  {number(first.tokens)} tokens  {count} runs"
        self._bars.update(device.line, description=visible(f"{device.name}  {text}" if device.name else text))

    def _draw_study(self) -> None:
        if self._study is not None:
            # A total of its own that grows would make the bar forget its speed.
            self._bars.update(self._study, description=self._name, completed=self._work.part, total=1)

    @property
    def _name(self) -> str:
        """Of the study's line."""
        named = sum(bool(device.name) for device in self._devices.values())
        on = f" on {named} devices" if named > 1 else ""
        return f"the study: {self._done} of {self._asked} runs{on}"

    def _say_how_far(self) -> None:
        """Print the study's line."""
        self._said = monotonic()
        left = self._work.left
        until = "" if left is None else f", about {timedelta(seconds=round(left))} left"
        self.console.print(f"{self._name}, {100 * self._work.part:.0f} % of the work{until}", soft_wrap=True)


@dataclass
class _Device:
    """The line of a device, and the runs that it trains. name: "" where nobody says."""

    name: str
    line: TaskID
    specs: dict[str, RunSpec] = field(default_factory=dict)


class JsonWatch(Watch):
    """Prints a line of JSON for all that happens, for programs to read."""

    def stage(self, text: str) -> None:
        """`text`."""
        self.event("stage", text=text)

    def runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        """How many runs are asked for, and the ids of those missing."""
        self.event("runs", asked=len(specs), missing=[spec.id for spec in missing])

    def progress(self, progress: Steps) -> None:
        """Steps, device and what was measured."""
        self.event("progress", **asdict(progress))

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """The record, without what was not measured."""
        values = {**asdict(record), **dict(record.more)}
        del values["more"]
        self.event("finished", **{name: value for name, value in values.items() if value is not None})

    def event(self, name: str, **values: Any) -> None:
        """Print a line with the time, the name of what happened, and its values."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        sys.stdout.write(json.dumps({"time": time, "event": name, **values}) + "\n")  # one call: threads may print
        sys.stdout.flush()


@contextmanager
def named_if_slow(text: str, console: Console | None = None, patience: float = PATIENCE) -> Iterator[None]:
    """Show `text` with the time spent on stderr while the block runs, once it has run for `patience` seconds.

    Nothing is shown where stderr is no terminal, and the line is gone when the block ends.
    """
    console = console or Console(stderr=True)
    if not console.is_interactive:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    line = Progress(*columns, console=console, transient=True)
    line.add_task(text, total=None)
    timer = Timer(patience, line.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        line.stop()


def _name(spec: RunSpec) -> str:
    dose = f"share {spec.dose:.3g}" if spec.unit == "share" else f"{spec.dose:g} exposures"
    return f"{number(spec.size):>5}  {number(spec.tokens)} tokens  {dose:<12} seed {spec.seed}"


def _scores(record: RunRecord) -> str:
    scores = ("recall", record.recall), ("verbatim", record.verbatim_recall), ("retention", record.retention)
    losses = ("validation loss", record.val_bpb), ("domain loss", record.score("domain_loss"))
    parts = [f"{name} {value:.2f}" for name, value in scores if value is not None]
    parts += [f"{name} {value:.3f}" for name, value in losses if value is not None]
    return "  ".join(parts) if parts and record.status == "ok" else record.status


def estimate_table(estimates: Sequence[Estimate], most: int = ROWS) -> Table:
    """The dry run: what the runs of each size, token count and dose hold, and what each of them takes.

    most: rows; where there would be more, a size and token count has one row for all its doses.
    """
    table = Table(box=None, header_style="bold")
    names = ("parameters", "tokens", "share", "exposures", "runs", "passes", "steps", "memory", "minutes each", "")
    for name in names:
        table.add_column(name, justify="right")
    groups = _grouped(estimates, lambda run: (run.size, run.tokens, run.share, run.held_out))
    if len(groups) > most:
        groups = _grouped(estimates, lambda run: (run.size, run.tokens, run.held_out))
    for runs in groups:
        run = runs[0]
        table.add_row(
            f"{run.size:,} + {run.total_size - run.size:,}",
            f"{run.tokens:,}",
            _span([each.share for each in runs], lambda share: f"{share:.3g}"),
            _span([each.exposures for each in runs], lambda exposures: f"{exposures:,.1f}"),
            f"{len(runs)}",
            _span([each.passes for each in runs], lambda passes: f"{passes:.2f}" if passes < 10 else f"{passes:,.0f}"),
            f"{run.steps:,}",
            in_bytes(run.memory),
            f"{sum(each.seconds for each in runs) / len(runs) / 60:.2f}",
            "held out" if run.held_out else "",
        )
    return table


def _grouped(estimates: Sequence[Estimate], key: Callable[[Estimate], object]) -> list[list[Estimate]]:
    groups: dict[object, list[Estimate]] = {}
    for run in estimates:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _span(values: Sequence[float], show: Callable[[float], str]) -> str:
    """One value, or the least and the most."""
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low} to {high}"


def memory_text(estimates: Iterable[Estimate]) -> str:
    """What takes the memory of the largest run; "" where nobody said."""
    largest = max(estimates, key=lambda run: run.memory)
    if not largest.memory_parts:
        return ""
    parts = ", ".join(f"{name} {in_bytes(size)}" for name, size in largest.memory_parts.items())
    where = f" on each of {largest.gpus} GPUs, which train it together" if largest.gpus > 1 else ""
    return f"The largest run takes {in_bytes(largest.memory)} of memory{where}: {parts}"
