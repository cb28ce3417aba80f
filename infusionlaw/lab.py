"""What a study needs of a lab, which trains its models, and of whoever watches it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infusionlaw.runs.record import Estimate, Progress, RunRecord, RunSpec

if TYPE_CHECKING:
    from infusionlaw.settings import StudyFile


class Lab(Protocol):
    """What a study needs of a lab; `infusionlaw.runners.local.Lab` is ours, tests and clusters may bring their own."""

    def prepare(self, study: "StudyFile", folder: Path) -> str: ...

    def check(self, folder: Path, specs: Sequence[RunSpec]) -> list[tuple[int, int]]: ...

    def estimate(self, study: "StudyFile", folder: Path, specs: Sequence[RunSpec]) -> list[Estimate]: ...

    def execute(
        self,
        study: "StudyFile",
        folder: Path,
        specs: Sequence[RunSpec],
        on_progress: Callable[[Progress], None],
    ) -> Iterator[RunRecord]: ...


class Watch:
    """Hears what a study does; this one says nothing."""

    def stage(self, text: str) -> None:
        """A step of the chain begins or has something to say."""

    def runs(self, specs: Sequence[RunSpec], missing: Sequence[RunSpec]) -> None:
        """Before training, each round of a search and the held-out runs: all runs asked for, and those missing."""

    def progress(self, progress: Progress) -> None:
        """A run has done some of its steps."""

    def finished(self, spec: RunSpec, record: RunRecord) -> None:
        """A run is complete."""
