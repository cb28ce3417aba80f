"""The journal of a study: what was written and when, a line each, and the hash of the line before.

Every artefact has an entry with the hashes of its files and of what it was made from: corpus, runs, fitted.csv, law,
predictions, table.csv, comparison. The order of the lines says that a prediction came before the runs that test it.
A line that is changed, taken out or put in no longer fits the lines beside it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from infusionlaw.errors import InputError
from infusionlaw.files import file_hash, json_hash, read_json
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import table_hash

NAME = "journal.jsonl"
BEGUN, ALREADY = "begun", "finished runs already there"  # the first entry, and the part of it that counts these
ROW = "row"  # the part of a run's entry with the hash of its row in a table
RUN_FILES = (
    "spec.json",
    "ledger.json",
    "metrics.jsonl",
    "probes.json",
    "model.safetensors",
    "told.json",
    "record.json",
)


@dataclass(frozen=True)
class Entry:
    """One line. files: SHA-256 by path in the study's folder; parts: other hashes of its content, by name.

    made_from: hashes of what it was made from, by name; before: `sha256` of the line before; sha256: of all the rest.
    """

    name: str
    written: str
    files: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    made_from: dict[str, str] = field(default_factory=dict)
    before: str = ""
    sha256: str = ""

    @property
    def hashed(self) -> str:
        """What `sha256` must be."""
        return json_hash({**vars(self), "sha256": ""})

    def says_the_same(self, other: "Entry") -> bool:
        """Whether both are of one content, made from the same."""
        mine, its = (replace(entry, written="", before="", sha256="") for entry in (self, other))
        return mine == its


_ENTRY = TypeAdapter(Entry)


class Journal:
    """The entries of a study's journal so far, and the means to add one."""

    def __init__(self, folder: Path) -> None:
        """Read it; InputError for the first line that is none or does not fit the one before."""
        self.folder, self.path = folder, folder / NAME
        self.entries: list[Entry] = []
        self._latest: dict[str, Entry] = {}  # in the order in which the names came first
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]  # the rest is half a line, of a process that was killed
        self._size = len(whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = _ENTRY.validate_json(line)
            except ValidationError:
                entry = None
            if entry is None or (entry.before, entry.sha256) != (self.end, entry.hashed):
                raise InputError(
                    f"{self.path}, line {number}: is not the line that was written, or does not follow the one before; "
                    "put the journal back as it was (without it nothing proves that predictions came first)"
                )
            self._append(entry)

    def _append(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._latest[entry.name] = entry

    @property
    def end(self) -> str:
        """The hash of the last line, and through it of all others."""
        return self.entries[-1].sha256 if self.entries else ""

    def latest(self, name: str) -> Entry | None:
        """Return the last entry of an artefact."""
        return self._latest.get(name)

    def all_latest(self) -> dict[str, Entry]:
        """Return the last entry of every artefact, in the order in which these came first."""
        return dict(self._latest)

    def add(
        self,
        name: str,
        files: Mapping[str, str],
        parts: Mapping[str, str] | None = None,
        made_from: Mapping[str, str] | None = None,
    ) -> None:
        """Add a line, unless the last one of this artefact says the same."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(name, now, dict(files), dict(parts or {}), dict(made_from or {}), self.end)
        last = self.latest(name)
        if last is not None and last.says_the_same(entry):
            return
        entry = replace(entry, sha256=entry.hashed)
        line = json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"
        with self.path.open("ab") as handle:
            handle.truncate(self._size)
            handle.write(line)
            handle.flush()
            os.fsync(handle.fileno())
        self._size += len(line)
        self._append(entry)

    def add_file(self, name: str, *made_from: str, parts: Mapping[str, str] | None = None) -> None:
        """Add a file of the study's folder, made from others of it."""
        self.add(name, self.hashes(name), parts, self.hashes(*made_from))

    def hashes(self, *names: str) -> dict[str, str]:
        """Return the hashes of those files that are there."""
        return {name: file_hash(path) for name in names if (path := self.folder / name).is_file()}


def run_name(run: str) -> str:
    """Return the name that a run has in the journal: its folder."""
    return f"runs/{run}"


def row_hash(record: RunRecord) -> str:
    """Return the hash of a run's row in a table; whether it is held out depends on the study and is no part of it."""
    return table_hash([replace(record, held_out=False) if record.held_out else record])


def plan_hashes(path: Path) -> dict[str, str]:
    """Return a hash of each plan of a predictions file by its target, `SIZE at TOKENS` as the study file has them."""
    with _of_predictions(path):
        return {target_name(*item["asked"]): json_hash(item) for item in read_json(path)["predictions"]}


def predicted_on(path: Path) -> str:
    """Return when the first plan of a predictions file was written; "" where it has none."""
    with _of_predictions(path):
        return min((str(item["written"]) for item in read_json(path)["predictions"]), default="")


@contextmanager
def _of_predictions(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a prediction; put it back as it was") from error


def target_name(size: float, tokens: float) -> str:
    """Return what a target is called in the journal."""
    return f"{size:.0f} at {tokens:.0f}"
