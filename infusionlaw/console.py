"""What a person sees while a study runs: a bar for each model in training, one for the study, a line a finished run."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from types import TracebackType

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
from infusionlaw.runs.record import Estimate, RunRecord, RunSpec
from infusionlaw.runs.record import Progress as Steps

OVERHEAD = 60_000  # parameters' worth of work a token costs beside the model's own, for the time left
PATIENCE = 5.0  # seconds that pass before something that takes long is named


class ConsoleWatch(Watch):
    """Draws progress with time left, for each run and for the study; plain lines where there is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
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
        self._bars = Progress(*columns, console=self.console, transient=True)
        self._specs: dict[str, RunSpec] = {}
        self._tasks: dict[str, TaskID] = {}
        self._study: TaskID | None = None
        self._done = self._asked = 0

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
        self._specs = {spec.id: spec for spec in missing}
        self._asked, self._done = len(specs), len(specs) - len(missing)
        left = sum(_work(spec) for spec in missing) or 1
        if self._study is None:
            self._study = self._bars.add_task("the study", total=left)
        else:
            done = next(task.completed for task in self._bars.tasks if task.id == self._study)
            self._bars.update(self._study, total=done + left)

    def progress(self, progress: Steps) -> None:
        """Move the run's bar and the study's."""
        spec = self._specs[progress.run]
        if progress.run not in self._tasks:
            self._tasks[progress.run] = self._bars.add_task(_name(spec), total=progress.steps)
        task = self._tasks[progress.run]
        before = next(t.completed for t in self._bars.tasks if t.id == task)
        self._bars.update(task, completed=progress.step)
        if self._study is not None:
            self._bars.advance(self._study, _work(spec) * (progress.step - before) / progress.steps)

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """Drop the run's bar and say what came out."""
        self._done += 1
        if spec.id in self._tasks:
            self._bars.remove_task(self._tasks.pop(spec.id))
        self.console.print(Text(f"{self._done:4}/{self._asked}  {_name(spec)}  {_scores(record)}"), soft_wrap=True)


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


def _work(spec: RunSpec) -> float:
    return float(spec.tokens * (spec.size + OVERHEAD))


def _name(spec: RunSpec) -> str:
    dose = f"share {spec.dose:.3g}" if spec.unit == "share" else f"{spec.dose:g} exposures"
    return f"{number(spec.size):>5}  {number(spec.tokens)} tokens  {dose:<12} seed {spec.seed}"


def _scores(record: RunRecord) -> str:
    scores = ("recall", record.recall), ("verbatim", record.verbatim_recall), ("retention", record.retention)
    losses = ("validation loss", record.val_bpb), ("domain loss", record.score("domain_loss"))
    parts = [f"{name} {value:.2f}" for name, value in scores if value is not None]
    parts += [f"{name} {value:.3f}" for name, value in losses if value is not None]
    return "  ".join(parts) if parts and record.status == "ok" else record.status


def estimate_table(estimates: Iterable[Estimate]) -> Table:
    """The dry run: what the runs of each size, token count and dose hold, and what each of them takes."""
    table = Table(box=None, header_style="bold")
    names = ("parameters", "tokens", "share", "exposures", "runs", "passes", "steps", "memory", "minutes each", "")
    for name in names:
        table.add_column(name, justify="right")
    groups: dict[tuple[object, ...], list[Estimate]] = {}
    for run in estimates:
        groups.setdefault((run.size, run.tokens, run.share, run.held_out), []).append(run)
    for runs in groups.values():
        run = runs[0]
        table.add_row(
            f"{run.size:,} + {run.total_size - run.size:,}",
            f"{run.tokens:,}",
            f"{run.share:.3g}",
            f"{run.exposures:,.1f}",
            f"{len(runs)}",
            f"{run.passes:.2f}" if run.passes < 10 else f"{run.passes:,.0f}",
            f"{run.steps:,}",
            _mib(run.memory),
            f"{sum(each.seconds for each in runs) / len(runs) / 60:.2f}",
            "held out" if run.held_out else "",
        )
    return table


def memory_text(estimates: Iterable[Estimate]) -> str:
    """What takes the memory of the largest run; "" where nobody said."""
    largest = max(estimates, key=lambda run: run.memory)
    if not largest.memory_parts:
        return ""
    parts = ", ".join(f"{name} {_mib(size)}" for name, size in largest.memory_parts.items())
    return f"The largest run takes {_mib(largest.memory)} of memory: {parts}"


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"
