"""A run as it is asked of another trainer: everything that its trainer has to be given, as one row of a list.

The columns that a table of runs has too have the same names there, so the list itself, with the scores added, is a
table of results.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError
from infusionlaw.files import write_text

NEAR = {"size": 0.05, "tokens": 0.01}  # parts by which a trainer's count may differ from what was asked


@dataclass(frozen=True)
class AskedRun:
    """One row. run: the id that names it everywhere; told: whether its result is there already.

    size: parameters without the embedding, which is tied to the output; sequence: tokens of one; batch: sequences a
    step; warmup, decay: steps at the beginning and at the end of the schedule; clip: largest norm of the gradient;
    start: the checkpoint that it begins from. heads is None where a checkpoint of another architecture decides it.
    """

    run: str
    held_out: bool
    told: bool
    size: int
    total_size: int
    tokens: int
    share: float
    exposures: float
    seed: int
    layers: int
    width: int
    heads: int | None
    feed_width: int
    vocabulary: int
    sequence: int
    batch: int
    steps: int
    learning_rate: float
    warmup: int
    decay: int
    weight_decay: float
    beta1: float
    beta2: float
    clip: float
    facts: int | None = None
    tokens_per_fact: float | None = None
    start: str | None = None

    @property
    def flops(self) -> float:
        """6 N D."""
        return 6.0 * self.size * self.tokens


def asked_csv(runs: Sequence[AskedRun]) -> str:
    """Return the list as CSV text."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(AskedRun)])
    writer.writerows([[_cell(value) for value in asdict(run).values()] for run in runs])
    return out.getvalue()


def write_asked(path: Path, runs: Sequence[AskedRun]) -> None:
    """Write the list as CSV or JSON, by the ending of the name."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".json"):
        raise InputError(f"{path}: the list of runs is written as .csv or .json; name such a file")
    write_text(path, asked_csv(runs) if kind == ".csv" else json.dumps([asdict(run) for run in runs], indent=1) + "\n")


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else repr(value) if isinstance(value, float) else value
