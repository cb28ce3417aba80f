"""What an unfinished run has on disk: the head of its checkpoint, and the lines of its metrics."""

import json
from dataclasses import dataclass
from pathlib import Path

from infusionlaw.errors import InputError
from infusionlaw.files import read_typed


@dataclass(frozen=True)
class Checkpoint:
    """checkpoint.json: the step that a run goes on from.

    run: id of the run or of the stable phase, which is the name of its folder; sha256: of run and step and the bytes
    of the file beside it, which has weights and moments.
    """

    run: str
    step: int
    sha256: str

    @property
    def file(self) -> str:
        """The name of that file."""
        return f"checkpoint-{self.step:08d}.safetensors"


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the head of the checkpoint of a run's folder; None without one, InputError where it is broken."""
    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    return read_typed(path, Checkpoint, "the head of a checkpoint", f"remove {folder} and run again", version=None)


def begun_step(folder: Path) -> int:
    """Return the step that a run goes on from; 0 where there is no checkpoint or its head is broken."""
    try:
        head = read_checkpoint(folder)
    except InputError:
        return 0
    return head.step if head else 0


def read_metrics(folder: Path, until: int) -> list[tuple[int, int, str]]:
    """Return step, tokens and text of the lines of metrics.jsonl up to a step; garbled lines are left out."""
    path = folder / "metrics.jsonl"
    text = path.read_bytes().decode("utf8", errors="replace") if path.exists() else ""
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
            step, tokens = int(row["step"]), int(row["tokens"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            continue
        if step <= until:
            rows.append((step, tokens, line))
    return rows
