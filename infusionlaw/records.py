"""The seam between the lab and the law: what a run is, what came of it, and the table of runs on disk.

A `RunSpec` says everything that decides a run's bytes; its `id` is a hash of that content. A `RunRecord` is one row of
the table. The lab writes records, people with their own trainers bring them as CSV or Parquet, and the law half reads
nothing else.
"""

import csv
import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from infusionlaw.errors import InputError
from infusionlaw.files import read_json, write_text

DoseUnit = Literal["share", "exposures"]


@dataclass(frozen=True)
class RunSpec:
    """One training run. `size` is the target of non-embedding parameters, `tokens` the budget D.

    `dose` is in `unit`: a share of D, or exposures per domain fact. `data` is the hash of the prepared corpus,
    `options` everything else that decides the result (block length, recipe overrides), sorted by name.
    """

    size: int
    tokens: int
    dose: float
    unit: DoseUnit
    seed: int
    data: str
    options: tuple[tuple[str, float | int | str], ...] = ()
    held_out: bool = False

    @property
    def id(self) -> str:
        """Twelve hex digits of the SHA-256 of the content; `held_out` is not content."""
        content = {k: v for k, v in dataclasses.asdict(self).items() if k != "held_out"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def read_spec(path: Path) -> RunSpec:
    """Read a run's spec.json."""
    content = read_json(path)
    return RunSpec(**{**content, "options": tuple((name, value) for name, value in content["options"])})


@dataclass(frozen=True)
class RunRecord:
    """One row of the table: a run's measured results. Every score lies beside its standard error over facts.

    size: non-embedding parameters; tokens: D; share: infused tokens / D; exposures: mean statements of a domain fact;
    recall, cloze, surface_recall, retention, unseen_recall: 0..1; margin: nats; general_loss: bits per byte.
    None means not measured (a diverged run has no scores).
    """

    size: float
    tokens: float
    share: float | None = None
    exposures: float | None = None
    recall: float | None = None
    recall_se: float | None = None
    facts: float | None = None
    tokens_per_fact: float | None = None
    surface_recall: float | None = None
    surface_recall_se: float | None = None
    retention: float | None = None
    retention_se: float | None = None
    general_loss: float | None = None
    general_loss_se: float | None = None
    margin: float | None = None
    margin_se: float | None = None
    cloze: float | None = None
    cloze_se: float | None = None
    unseen_recall: float | None = None
    unseen_recall_se: float | None = None
    chance: float | None = None
    seed: int | None = None
    total_size: float | None = None
    held_out: bool = False
    status: str = "ok"
    run: str = ""


@dataclass(frozen=True)
class Estimate:
    """What a run will hold and take. memory: bytes; seconds: of one process, `processes` of which work at once."""

    run: str
    size: int
    total_size: int
    tokens: int
    share: float
    exposures: float
    seed: int
    held_out: bool
    steps: int
    memory: int
    seconds: float
    processes: int


@dataclass(frozen=True)
class Progress:
    """A run's id and how many of its steps are done."""

    run: str
    step: int
    steps: int


COLUMNS = tuple(field.name for field in dataclasses.fields(RunRecord))
REQUIRED = ("size", "tokens", "recall")
_UNIT_INTERVAL = {"share", "recall", "surface_recall", "retention", "cloze", "unseen_recall", "chance"}
_POSITIVE = {"size", "tokens", "facts", "tokens_per_fact", "total_size"}
_TEXT = {"status", "run"}


def table_text(records: Iterable[RunRecord]) -> str:
    """The table as CSV text: fixed columns, floats by `repr`, so that equal records give equal bytes."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(getattr(record, name)) for name in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value) if isinstance(value, float) else str(value)


def write_table(path: Path, records: Sequence[RunRecord]) -> None:
    """Write the table atomically as CSV."""
    write_text(path, table_text(records))


def table_hash(records: Iterable[RunRecord]) -> str:
    """SHA-256 of the table's CSV text, in hex."""
    return hashlib.sha256(table_text(records).encode()).hexdigest()


def read_table(path: str | Path) -> list[RunRecord]:
    """Read a table of runs from CSV (or TSV) or Parquet.

    Required columns: size, tokens, recall, and share or exposures; unknown columns are ignored. Missing scores of a
    row are None. With facts and tokens_per_fact, a missing dose unit is filled from the other.
    Raises InputError with file and row.
    """
    path = Path(path)
    header, rows = _raw_rows(path)
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        needs, has = ", ".join(REQUIRED), ", ".join(header[:8])
        raise InputError(f'{path}: column "{missing[0]}" is missing; a table needs {needs}, this one has {has}')
    if "share" not in header and "exposures" not in header:
        raise InputError(f'{path}: neither column "share" nor "exposures" is there; add the dose of each run')
    if not rows:
        raise InputError(f"{path}: the table has no rows")
    return [_record(row, f"{path}, row {number}") for number, row in enumerate(rows, start=2)]


def _raw_rows(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        try:
            table = parquet.read_table(path)
        except Exception as error:
            raise InputError(f"{path}: not a readable Parquet file ({error})") from error
        return list(table.column_names), table.to_pylist()
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, delimiter="\t" if path.suffix == ".tsv" else ",")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error
    return list(reader.fieldnames or []), rows


def _record(row: dict[str, Any], place: str) -> RunRecord:
    values = {name: _value(name, row[name], place) for name in COLUMNS if name in row}
    values = {name: value for name, value in values.items() if value is not None}
    for name in ("size", "tokens"):
        if name not in values:
            raise InputError(f'{place}: "{name}" is empty; every run needs it')
    if values.get("share") is None and values.get("exposures") is None:
        raise InputError(f"{place}: neither share nor exposures is given; every run needs its dose")
    return RunRecord(**_with_both_units(values))


def _with_both_units(values: dict[str, Any]) -> dict[str, Any]:
    """Fill share from exposures or the other way round: k = share·D / (S · tokens per statement)."""
    if values.get("facts") and values.get("tokens_per_fact"):
        per_share = values["tokens"] / (values["facts"] * values["tokens_per_fact"])
        if "exposures" not in values:
            values["exposures"] = values["share"] * per_share
        elif "share" not in values:
            values["share"] = values["exposures"] / per_share
    return values


def _value(name: str, raw: Any, place: str) -> Any:
    """One cell as its type, None when empty or NaN; InputError when it cannot be."""
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if name in _TEXT:
        return str(raw)
    try:
        number = float(raw)
    except (TypeError, ValueError):
        raise InputError(f'{place}: "{name}" is {raw!r}, which is not a number; mend or empty that cell') from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise InputError(f'{place}: "{name}" is infinite; mend or empty that cell')
    if name in _POSITIVE and number <= 0:
        raise InputError(f'{place}: "{name}" is {number:g}, which must be above 0')
    if name in _UNIT_INTERVAL and not 0 <= number <= 1:
        raise InputError(f'{place}: "{name}" is {number:g}, which must lie between 0 and 1')
    if (name == "exposures" or name.endswith("_se")) and number < 0:
        raise InputError(f'{place}: "{name}" is {number:g}, which must not be negative')
    if name == "held_out":
        return bool(number)
    return int(number) if name == "seed" else number
