"""What a tracker is: a program that shows the curves of runs, such as TensorBoard.

Packages add theirs by the entry point group `infusionlaw.trackers`, each a class that fits `Tracker`. It works in a
process of its own and may wait, fail or hang there: training goes on without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from infusionlaw.errors import InputError, nearest
from infusionlaw.law.numbers import number
from infusionlaw.runs.record import RunSpec
from infusionlaw.settings import StudyFile

GROUP = "infusionlaw.trackers"


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers show it.

    name: readable, and no other run has it. group: the study's name; project: that of the study file. folder: the
    study's, for trackers that write files. config: what decides the run's result.
    """

    id: str
    name: str
    group: str
    project: str
    folder: Path
    config: Mapping[str, str | float | bool]


class Tracker(Protocol):
    """Where the curves of runs go. Points of a run come in order of their tokens, and several runs are open at once.

    package: what must be installed, by the name that is imported.
    """

    package: str

    def start(self, run: TrackedRun, tokens: int) -> int:
        """Begin a run or go on with it: all its points from `tokens` on follow.

        Return the tokens of the last point that stays; points up to it are left out.
        """

    def log(self, run: str, tokens: int, values: Mapping[str, float]) -> None:
        """Take a point of a run, by its name."""

    def end(self, run: str) -> None:
        """The run of that name is complete."""

    def close(self) -> None:
        """Nothing more will come; runs that are still open go on another time."""


class ByHandle:
    """The part of a tracker whose package has an object for each run, with `log` and `finish`; `start` adds it."""

    def __init__(self) -> None:
        self._runs: dict[str, Any] = {}

    def log(self, run: str, tokens: int, values: Mapping[str, float]) -> None:
        """Hand on a point."""
        self._runs[run].log(dict(values), step=tokens)

    def end(self, run: str) -> None:
        """Finish the run, which waits for its points to be stored or sent."""
        self._runs.pop(run).finish()

    def close(self) -> None:
        """Finish all runs; one that is not complete goes on under its name the next time."""
        for run in list(self._runs):
            self.end(run)


def tracked_run(file: StudyFile, folder: Path, spec: RunSpec) -> TrackedRun:
    """Return a run of a study as trackers show it."""
    content = asdict(spec)
    config = {name: value for name, value in {**content, **content.pop("settings")}.items() if _is_shown(value)}
    name = f"{number(spec.size)}-{number(spec.tokens)}-{spec.unit}{spec.dose:g}-seed{spec.seed}-{spec.id}"
    return TrackedRun(spec.id, name, file.name, file.track.project, folder, config)


def _is_shown(value: Any) -> bool:
    return isinstance(value, str | int | float)


def check_trackers(names: Sequence[str]) -> None:
    """InputError where no tracker has one of these names, or its package is not installed."""
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    for name in names:
        if name not in known:
            raise InputError(f'[track]: no tracker is named "{name}"; {nearest(name, known)}')
        _check_installed(name, known[name])


def load_tracker(name: str) -> Tracker:
    """Return the tracker of a name, which imports its package."""
    (entry,) = entry_points(group=GROUP, name=name)
    tracker: Tracker = entry.load()()
    return tracker


def _check_installed(name: str, entry: EntryPoint) -> None:
    package = entry.load().package
    if find_spec(package) is None:
        own = f'install it with pip install ".[{name}]" in the folder of infusionlaw'
        fix = own if name in OURS else "install that package"
        raise InputError(f"[track]: the tracker {name} needs {package}; {fix}, or take it out of to")


OURS = ("tensorboard", "trackio", "wandb")  # each an extra of this package, too
