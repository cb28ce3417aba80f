"""What the process of one tracker does: hand on the points of runs, each once, until there are no more.

A run's curve is whole in its folder up to its last checkpoint, so it is handed on from there first: a tracker that is
switched on later, or a run that goes on after a stop, lacks nothing and has nothing twice.
"""

import json
import os
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from infusionlaw.processes import serve
from infusionlaw.runs.begun import read_metrics
from infusionlaw.trackers.tracker import TrackedRun, Tracker, load_tracker

FAILURES = 10  # in a row, after which a tracker is not tried again
CURVE = ("loss", "learning_rate", "gradient_norm")  # of what a run measures on its way


@dataclass(frozen=True)
class Point:
    """What a run has measured on its way."""

    run: str
    tokens: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Finished:
    """A run is complete, with these outcomes; none where it diverged."""

    run: str
    tokens: int
    outcomes: Mapping[str, float]


Message = list[TrackedRun] | Point | Finished | None


def notes(folder: Path, name: str) -> Path:
    """Return the file that lists the runs of a study which a tracker has whole."""
    return folder / "trackers" / f"{name}.txt"


def log_of(folder: Path, name: str) -> Path:
    """Return the file that what a tracker prints goes to."""
    return folder / "trackers" / f"{name}.log"


def curve(row: Mapping[str, Any]) -> dict[str, float]:
    """Return what trackers show of a line of metrics.jsonl."""
    return {f"train/{name}": float(row[name]) for name in CURVE if name in row}


def hand_on(name: str, folder: Path, queue: Any, taken: Any, says: Connection) -> None:
    """Work for one tracker: take messages from the queue, count those taken, and say what fails first."""
    serve()
    with log_of(folder, name).open("a", encoding="utf8") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    failures = 0
    feeder: _Feeder | None = None
    for message in iter(queue.get, None):
        if failures == FAILURES:
            continue
        try:
            feeder = feeder or _Feeder(load_tracker(name), folder, notes(folder, name))
            feeder.take(message)
        except Exception as error:
            failures += 1
            _say(says, error)
        else:
            failures = 0
            taken.value += not isinstance(message, list)
    try:
        if feeder is not None:
            feeder.tracker.close()
    except Exception as error:
        _say(says, error)


def _say(says: Connection, error: Exception) -> None:
    traceback.print_exc()
    said = " ".join(str(error).split())[:200]
    says.send(f"{type(error).__name__}: {said}" if said else type(error).__name__)


class _Feeder:
    """Hands the points of runs to a tracker, none twice."""

    def __init__(self, tracker: Tracker, folder: Path, done: Path) -> None:
        self.tracker = tracker
        self._folder, self._done = folder, done
        self._runs: dict[str, TrackedRun] = {}
        self._last: dict[str, int] = {}  # tokens, of the runs that are open
        self._over: set[str] = set()

    def take(self, message: Message) -> None:
        """Do what a message asks."""
        if isinstance(message, list):
            self._runs |= {run.id: run for run in message}
        elif isinstance(message, Point):
            self._go_on(message)
        elif isinstance(message, Finished):
            self._finish(message)

    def _go_on(self, point: Point) -> None:
        if point.run in self._over:
            return  # it came later than the end
        if point.run not in self._last:
            self._start(point.run, [each for each in self._kept(point.run) if each.tokens < point.tokens] or [point])
        self._log(point)

    def _finish(self, message: Finished) -> None:
        end = Point(message.run, message.tokens, message.outcomes)
        kept = list(self._kept(message.run))
        if kept and kept[-1].tokens == end.tokens:
            end = Point(end.run, end.tokens, {**kept.pop().values, **end.values})
        points = [*kept, *([end] if end.values else [])]
        if message.run not in self._last:
            self._start(message.run, points or [end])
        for point in points:
            self._log(point)
        self.tracker.end(self._runs[message.run].name)
        self._over.add(message.run)
        del self._last[message.run]
        with self._done.open("a", encoding="utf8") as file:
            file.write(f"{message.run}\n")

    def _start(self, run: str, points: list[Point]) -> None:
        self._last[run] = self.tracker.start(self._runs[run], points[0].tokens)
        for point in points:
            self._log(point)

    def _log(self, point: Point) -> None:
        if point.tokens > self._last[point.run]:
            self.tracker.log(self._runs[point.run].name, point.tokens, point.values)
            self._last[point.run] = point.tokens

    def _kept(self, run: str) -> Iterator[Point]:
        """Yield the points in a run's folder: up to its last checkpoint, or all once it is complete."""
        folder = self._folder / "runs" / run
        for _, tokens, line in read_metrics(folder, 2**63):
            yield Point(run, tokens, curve(json.loads(line)))
