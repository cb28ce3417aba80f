"""The table of runs, from file to RunRecords and back.

Writing is exact: equal records give equal bytes, and what is read back equals what was written. Reading takes anybody's
table: other names of columns (`names`), sizes as "1.3B", shares as "30%". Every row is checked before anything is
fitted; a bad one is named. With S facts of t tokens a statement the dose units must agree:

    exposures = share · tokens / (S · t)
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from numbers import Integral
from operator import attrgetter
from pathlib import Path
from typing import Any

from filelock import FileLock

from infusionlaw.errors import InputError, naming, needing
from infusionlaw.files import atomic_path, write_text
from infusionlaw.quantities import written_number
from infusionlaw.runs.capacity import with_facts_as_dose
from infusionlaw.runs.cells import FALSE, cell_value, is_missing, state_of
from infusionlaw.runs.checks import both_units, opposed, repeated, share_of_domain
from infusionlaw.runs.choices import (
    UNITS,
    Choices,
    as_parts,
    choices,
    file_columns,
    kept_file,
    read_choices,
    rows_where,
    unit_of_losses,
)
from infusionlaw.runs.columns import matched
from infusionlaw.runs.frames import Frame, frame_rows
from infusionlaw.runs.histories import at_their_ends, pivoted
from infusionlaw.runs.lineage import Row, with_curves, with_starts
from infusionlaw.runs.names import DOSES, FIELDS, Names, columns, is_measured, names_its_unit
from infusionlaw.runs.outcomes import is_loss
from infusionlaw.runs.record import UNSTATED, RunRecord
from infusionlaw.runs.tabular import read_rows

ONE_COUNT = "no token count is given, so the answer holds for the one that these runs have"
# Columns that are written only where a run has a value in them, the unit also where the name of a loss leaves it open.
WHERE_USED = ("loss_unit", "curve")


def used_columns(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """The columns of a table that is written: those of every record, then of what else was measured."""
    measured = {name for record in records for name, _ in record.more}
    unclear = any(is_loss(name) and not name.endswith("_se") and not names_its_unit(name) for name in measured)
    measured |= {name for name in WHERE_USED if any(getattr(record, name) for record in records)}
    measured |= {"loss_unit"} if unclear else set()
    known = tuple(name for name in columns() if (name in FIELDS and name not in WHERE_USED) or name in measured)
    return (*known, *sorted(measured.difference(known)))


def cell(record: RunRecord, column: str) -> Any:
    """What a record has in a column."""
    if column == "loss_unit":
        return record.loss_unit or UNITS[0]
    return getattr(record, column) if column in FIELDS else dict(record.more).get(column)


def table_text(records: Iterable[RunRecord]) -> str:
    """Return the table as CSV text: fixed columns, floats by `repr`, so that equal records give equal bytes.

    Numpy's numbers are written as the plain ones they are equal to.
    """
    records = list(records)
    names = used_columns(records)
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(_cells(name, records) for name in names), strict=True))
    return out.getvalue()


def _cells(column: str, records: Sequence[RunRecord]) -> list[str]:
    """A column's cells as text. Most values come often, and each is written once."""
    plain = column in FIELDS and column != "loss_unit"
    found = map(attrgetter(column), records) if plain else (cell(record, column) for record in records)
    values = [value if type(value) in _PLAIN else _plain(value) for value in found]
    texts = {value: _cell(column, value) for value in set(values)}
    return [texts[value] for value in values]


def _cell(column: str, value: Any) -> str:
    if value is None or column in _TEXT:
        return "" if value is None else str(value)
    if column in _WHOLE and (isinstance(value, Integral) or float(value).is_integer()):
        return str(int(value))
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


_PLAIN = {int, float, str, bool, type(None)}
_TEXT, _WHOLE = ("status", "run", "loss_unit", "curve"), ("seed", "held_out")


def write_table(path: Path, records: Sequence[RunRecord]) -> None:
    """Write the table atomically: as Parquet where the name ends so, else as CSV.

    Raises InputError for a name that promises another kind of file.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        _write_parquet(path, records)
        return
    if path.suffix.lower() not in ("", ".csv", ".txt"):
        raise InputError(f"{path}: tables are written as .csv or .parquet; name such a file")
    write_text(path, table_text(records))


def append_row(path: Path, record: RunRecord) -> None:
    """Add a run to the end of a CSV table that has the same columns, or begin one; many processes may do so at once.

    Raises InputError where the table has the run already, or other columns.
    """
    names, row = table_text([record]).split("\n", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        check_new(path, record.run)
        content = path.read_text(encoding="utf8") if path.exists() else f"{names}\n"
        if content.split("\n", 1)[0].strip() != names:
            raise InputError(f"{path}: has other columns than the runs of this study; name another table")
        write_text(path, content + ("" if content.endswith("\n") else "\n") + row)


def check_new(path: Path, run: str) -> None:
    """Refuse a table that holds a run already."""
    if path.exists() and any(row.get("run") == run for row in read_rows(path)[1].values()):
        raise InputError(f'{path}: has the run "{run}" already; take its row out first')


def _write_parquet(path: Path, records: Sequence[RunRecord]) -> None:
    with needing("parquet", f"{path}: a Parquet file"):
        import pyarrow
        from pyarrow import parquet
    content = {name: [_plain(cell(record, name)) for record in records] for name in used_columns(records)}
    with atomic_path(path) as part:
        parquet.write_table(pyarrow.table(content), part)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value  # numpy's scalars


def table_hash(records: Iterable[RunRecord]) -> str:
    """SHA-256 of the table's CSV text, in hex."""
    return hashlib.sha256(table_text(records).encode()).hexdigest()


@dataclass(frozen=True)
class Runs:
    """A table as it was read: its rows, and a sentence on each thing that a person should check."""

    rows: list[RunRecord]
    remarks: tuple[str, ...] = ()


def read_table(
    source: str | Path | Frame,
    *,
    columns: Mapping[str, str] | None = None,
    where: str | Iterable[str] = (),
    percent: str | Iterable[str] = (),
    unit: str | None = None,
) -> list[RunRecord]:
    """Read and check a table of runs: a file of text, JSON Lines or Parquet, or a pandas data frame.

    The columns and checks are in docs/reference/table.md. A table needs size and an outcome, share or exposures for all
    that depends on a dose, and tokens unless all runs have one count; unknown columns are ignored. Missing scores of a
    row are None. With facts and tokens_per_fact, a missing dose unit is filled from the other. Where the facts alone
    vary, they are the dose.
    columns: the file's column of each of ours, as in {"recall": "eval/med/acc"}, or a number for all runs; where:
    conditions that a row meets, as in "State = finished"; percent: columns in percent; unit: of the losses, such as
    "nats/token". What `fit` was told earlier is read from TABLE.columns.toml.
    Raises InputError with file and the first bad row, and how many more there are. Rows of a text table are counted as
    in a spreadsheet, from 2 below the names of the columns; those of a data frame from 0, as by `iloc`.
    """
    return read_runs(source, choices(columns, where, percent, unit)).rows


@dataclass(frozen=True)
class Found:
    """The rows of a file that a person wants, by number, and the file's column of each of ours.

    place: the file, in words; remarks: a sentence on each thing that a person should check.
    """

    place: str | Path
    rows: dict[int, dict[str, Any]]
    columns: dict[str, str]
    unit: str | None
    remarks: tuple[str, ...]


def find_columns(source: str | Path | Frame, chosen: Choices, names: Names) -> Found:
    """Read a table as a person chose, here or earlier. names: of a table of runs or of a surface."""
    if not isinstance(source, str | Path):
        return columns_in("the data frame", *frame_rows(source), chosen, names)
    content = read_rows(source)
    if not (kept := read_choices(source)):
        return columns_in(source, *content, chosen, names)
    found = columns_in(source, *content, chosen.over(kept), names)
    return replace(found, remarks=(f"columns are read as {kept_file(source)} says", *found.remarks))


def columns_in(
    place: str | Path, header: Sequence[str], rows: dict[int, dict[str, Any]], chosen: Choices, names: Names
) -> Found:
    """Find which column of rows is which, as a person chose. place: what an InputError names."""
    remarks = []
    named_columns, rows = pivoted(header, rows)
    with naming(place):
        named = file_columns(chosen.known_to(names), named_columns, rows)
        rows = {n: row for n, row in rows.items() if any(cell is not None for cell in row.values())}
        if not rows:
            raise InputError("the table has no rows")
        rows = rows_where(chosen.where, named_columns, rows)
        found = matched(named_columns, list(rows.values()), named, names)
        rows, by_end = at_their_ends(rows, found.columns)
        rows = as_parts(chosen.percent, found.columns, named_columns, rows)
    if found.by_parts:
        remarks.append("read " + ", ".join(f'{ours} from "{found.columns[ours]}"' for ours in found.by_parts))
    if lost := _lost(rows.values(), found.columns.get("status")):
        remarks.append(lost)
    remarks += [by_end] if by_end else []
    return Found(place, rows, found.columns, chosen.unit, tuple(remarks))


def read_runs(source: str | Path | Frame, chosen: Choices | None = None) -> Runs:
    """Read a table of runs as `read_table` does, with remarks on how it was read."""
    found = find_columns(source, chosen or Choices(), Names())
    with naming(found.place):
        unit = unit_of_losses(found.columns, found.rows, found.unit)
    good, starts = _checked(found.rows, found.columns, unit, found.place)
    records, by_step = with_curves(good)
    records, begun = with_starts(records, starts)
    records, counted = with_facts_as_dose(records, found.columns)
    one = "" if "tokens" in found.columns else ONE_COUNT
    return Runs(records, tuple(filter(None, [*found.remarks, by_step, begun, counted, one])))


def _checked(
    rows: Mapping[int, dict[str, Any]], columns: Mapping[str, str], unit: str | None, place: str | Path
) -> tuple[list[Row], list[tuple[float, dict[str, float]]]]:
    """The rows, and the scores of starts by size; InputError with the first bad row."""
    good: list[Row] = []
    starts: list[tuple[float, dict[str, float]]] = []
    bad: list[tuple[int, InputError]] = []
    for number, row in rows.items():
        try:
            if (start := _start(row, columns)) is not None:
                starts.append(start)
            elif values := _values(row, columns):
                helpers = values.pop("name", ""), values.pop("step", None)
                good.append(Row(number, _record(values, unit), *helpers))
        except InputError as error:
            bad.append((number, error))
    records = [(row.number, row.record) for row in good]
    bad = sorted([*bad, *repeated(records), *opposed(records, columns)], key=lambda item: item[0])
    if bad:
        more = f" (and {len(bad) - 1} more row{'s' if len(bad) > 2 else ''})" if len(bad) > 1 else ""
        raise InputError(f"{place}, row {bad[0][0]}: {bad[0][1]}{more}")
    if not good:
        starts_too = "; a row with tokens 0 is a start, no run" if starts else ""
        raise InputError(f"{place}: no row is a run that finished{starts_too}")
    return good, starts


def _lost(rows: Iterable[Mapping[str, Any]], status: str | None) -> str:
    """How many runs did not finish, by their states, in words."""
    if status is None:
        return ""
    cells = [row[status] for row in rows if not is_missing(row[status])]
    words = [str(cell).strip().casefold() for cell in cells if state_of(cell, status) == "unfinished"]
    lost = Counter("unfinished" if word.removesuffix(".0") in FALSE else word for word in words)
    if not lost:
        return ""
    by_state = ", ".join(f"{count} {state}" for state, count in lost.most_common())
    verb = "run did not finish and is" if lost.total() == 1 else "runs did not finish and are"
    return f"{lost.total()} {verb} left out ({by_state})"


def _values(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The cells of a row as they are typed; empty for a run that did not finish and whose cells cannot be read."""
    status = cell_value("status", row[columns["status"]], columns["status"]) if "status" in columns else None
    try:
        values = {ours: cell_value(ours, row[name], name) for ours, name in columns.items()}
        values = {ours: value for ours, value in values.items() if value is not None}
        if "tokens" not in columns:
            values["tokens"] = UNSTATED
        for ours in ("size", "tokens"):
            if ours not in values:
                raise InputError(f'"{columns[ours]}" is empty; every run needs it')
        if (domain := values.pop("domain_tokens", None)) is not None:
            values |= share_of_domain(domain, values, columns["domain_tokens"])
        if not DOSES.isdisjoint(columns) and DOSES.isdisjoint(values):
            raise InputError("neither share nor exposures is given; every run needs its dose")
    except InputError:
        if status != "unfinished":
            raise
        return {}
    return values


def _start(row: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[float, dict[str, float]] | None:
    """Size and scores of a row with tokens 0, which is the start of runs; None for any other row."""
    if "tokens" not in columns or written_number(str(row[columns["tokens"]]), count=True) != 0:
        return None
    size = cell_value("size", row[columns["size"]], columns["size"])
    if size is None:
        raise InputError(f'"{columns["size"]}" is empty; a start (tokens 0) needs it')
    scores = [ours for ours in columns if is_measured(ours) and not ours.startswith("start_")]
    values = {ours: cell_value(ours, row[columns[ours]], columns[ours]) for ours in scores}
    return size, {ours: value for ours, value in values.items() if value is not None}


def _record(values: dict[str, Any], unit: str | None) -> RunRecord:
    """One row as a record; InputError, without file and row, when it cannot be."""
    told = ("share" in values or "exposures" in values) and values["tokens"] != UNSTATED
    if told and values.get("facts") and values.get("tokens_per_fact"):
        values |= both_units(
            values["tokens"], values["facts"], values["tokens_per_fact"], values.get("share"), values.get("exposures")
        )
    if values.get("status", "ok") != "ok":  # its scores, if it has any, are not those of a trained model
        values = {ours: value for ours, value in values.items() if not is_measured(ours)}
    if values.get("share") == 1:
        raise InputError("the share is 1, which leaves no general text and has infinite odds; take the row out")
    more = tuple((name, value) for name, value in values.items() if name not in FIELDS)
    fields = {name: value for name, value in values.items() if name in FIELDS}
    return RunRecord(**(fields | {"loss_unit": unit}), more=more)
