"""A study: a study file and a folder; which runs it asks for, which are done, which are missing.

The folder is the only state. A run is done when its `record.json` is there; one process at a time may write a study.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from infusionlaw.design import grid, held_out
from infusionlaw.errors import InputError
from infusionlaw.files import read_json
from infusionlaw.records import RunRecord, RunSpec
from infusionlaw.studyfile import StudyFile


@dataclass(frozen=True)
class Study:
    """A study file, the folder it is worked out in, and the id of its prepared corpus."""

    file: StudyFile
    folder: Path
    data: str

    @property
    def fitted(self) -> list[RunSpec]:
        """The runs that the law is fitted to."""
        return grid(self.file, self.data)

    @property
    def held_out(self) -> list[RunSpec]:
        """The runs that are predicted first; one that the grid already holds is no prediction and is left out."""
        known = {spec.id for spec in self.fitted}
        return [spec for spec in held_out(self.file, self.data) if spec.id not in known]

    def record(self, spec: RunSpec) -> RunRecord | None:
        """The record of a finished run, or None; a broken record.json is an InputError that names it."""
        path = self.folder / "runs" / spec.id / "record.json"
        if not path.exists():
            return None
        try:
            record = RunRecord(**read_json(path))
        except TypeError as error:
            raise InputError(f"{path}: not a run's record ({error}); remove {path.parent} and run again") from error
        return replace(record, held_out=spec.held_out)

    def missing(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """Those runs that have no record yet."""
        return [spec for spec in specs if self.record(spec) is None]

    def records(self, specs: Sequence[RunSpec]) -> list[RunRecord]:
        """The records there are, in the order of the specs."""
        return [record for spec in specs if (record := self.record(spec)) is not None]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's folder; InputError when another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: another process is running this study; wait for it or stop it") from error
        yield
