"""What files say of runs that were trained elsewhere: tables of any tracker, and lm-evaluation-harness's results.

A row of a table is a result. A file of lm-evaluation-harness is one too, of one model: `medqa/acc,none` is its column
for the accuracy of the task medqa. A run is named by its id, wherever that stands: in any cell, in the path of the
model, or in that of the file.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError, naming
from infusionlaw.files import read_json
from infusionlaw.recognise import kind_of
from infusionlaw.runs.cells import cell_value, is_missing
from infusionlaw.runs.choices import Choices, read_choices, unit_of_losses
from infusionlaw.runs.columns import column_named, no_column
from infusionlaw.runs.histories import pivoted
from infusionlaw.runs.names import Names, is_measured, measures, names_of
from infusionlaw.runs.outcomes import measure_of
from infusionlaw.runs.table import columns_in
from infusionlaw.runs.tabular import read_rows

ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])")
PLACE = ("size", "total_size", "tokens", "share", "exposures", "seed")  # which run it is, where nothing names it
_FILE = "file"  # the column of rows of lm-evaluation-harness that says which file each comes from


@dataclass(frozen=True)
class Result:
    """What one row says of one run.

    place: file and row, in words; named: the id that it calls the run by; ids: all that may be ids of runs, in the row
    or else in the path of the file; at: the settings that it states; scores: what was measured, with the levels of
    guessing; unit: of losses, None: bits per byte.
    """

    place: str
    named: tuple[str, ...]
    ids: tuple[str, ...]
    at: dict[str, float]
    scores: dict[str, float]
    status: str = "ok"
    unit: str | None = None


@dataclass(frozen=True)
class Results:
    """The results of some files, and a sentence on each thing that a person should check."""

    results: list[Result]
    remarks: tuple[str, ...]


@dataclass
class _Table:
    """Rows as they are in files. place: what an error names; file: whose choices are kept."""

    place: str
    header: list[str]
    rows: dict[int, dict[str, Any]]
    file: Path | None = None
    kept: Choices = field(default_factory=Choices)


class ResultNames(Names):
    """The columns of a table of results, which needs no settings of the runs that it names."""

    def lacking(self, known: Collection[str]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """Something that was measured, or whether runs diverged."""
        if "status" in known or any(measure_of(ours) in measures() for ours in known):
            return {}, {}
        return {"recall": tuple(name for measure in measures() for name in names_of(measure))}, {}


def read_results(paths: Sequence[Path], chosen: Choices) -> Results:
    """Read files, and lm-evaluation-harness's files in folders. chosen: as for a table of runs.

    With several tables a choice counts for those that have its column. Raises InputError with file and row.
    """
    tables = _tables(paths)
    for column in chosen.columns.values():
        if column and not any(column_named(column, table.header) for table in tables):
            raise no_column(column, list(dict.fromkeys(name for table in tables for name in table.header)))
    found: list[Result] = []
    remarks: list[str] = []
    for table in tables:
        own = (_within(chosen, table.header) if len(tables) > 1 else chosen).over(table.kept)
        rows = columns_in(table.place, table.header, table.rows, own, ResultNames())
        with naming(table.place):
            unit = unit_of_losses(rows.columns, rows.rows, rows.unit)
        remarks += rows.remarks
        for number, row in rows.rows.items():
            result = _result(table, number, row, rows.columns, unit)
            found += [result] if result else []
    return Results(found, tuple(dict.fromkeys(remarks)))


def _tables(paths: Sequence[Path]) -> list[_Table]:
    tables, harness = [], []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("results*.json") if kind_of(file) == "results")
            if not inside:
                raise InputError(f"{path}: no results*.json of lm-evaluation-harness is in it; name files")
            harness += inside
        elif kind_of(path) == "results":
            harness.append(path)
        else:
            header, rows = pivoted(*read_rows(path))
            tables.append(_Table(str(path), header, rows, path, read_choices(path)))
    if harness:
        rows = {number: harness_row(path) for number, path in enumerate(dict.fromkeys(harness), start=1)}
        header = list(dict.fromkeys(name for row in rows.values() for name in row))
        filled = {number: {name: row.get(name) for name in header} for number, row in rows.items()}
        tables.append(_Table("lm-evaluation-harness", header, filled))
    return tables


def harness_row(path: Path) -> dict[str, Any]:
    """Return what a result file of lm-evaluation-harness says, as a row: its model, and a column a task and metric."""
    content = read_json(path)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not all(isinstance(scores, dict) for scores in results.values()):
        raise InputError(f'{path}: its "results" are not a table of tasks; name a results_*.json as it was written')
    config = content.get("config") if isinstance(content.get("config"), dict) else {}
    model = content.get("model_name") or config.get("model_args")
    scores = {
        f"{task}/{metric}": value
        for task, measured in results.items()
        for metric, value in measured.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {_FILE: str(path), "name": None if model is None else str(model), **scores}


def _within(chosen: Choices, header: Sequence[str]) -> Choices:
    """The choices that a table has the columns for."""
    columns = {ours: name for ours, name in chosen.columns.items() if not name or column_named(name, header)}
    known = [*columns, *(f"{ours}_se" for ours in columns)]
    percent = tuple(name for name in chosen.percent if name in known or column_named(name, header))
    return replace(chosen, columns=columns, percent=percent)


def _result(
    table: _Table, number: int, row: dict[str, Any], columns: dict[str, str], unit: str | None
) -> Result | None:
    """A row as a result; None of a run that did not finish, or has nothing to say."""
    place = f"{table.place}, row {number}" if table.file else str(row[_FILE])
    with naming(place):
        cells = {ours: cell_value(ours, row[name], name) for ours, name in columns.items()}
    values = {ours: value for ours, value in cells.items() if value is not None}
    status = values.get("status", "ok")
    scores = {ours: value for ours, value in values.items() if is_measured(ours) or _beside(ours)}
    if status == "unfinished" or (status == "ok" and not any(map(is_measured, scores))):
        return None
    named = _ids(str(values[ours]) for ours in ("run", "name") if ours in values)
    ids = _ids(str(cell) for name, cell in row.items() if name != _FILE and not is_missing(cell))
    ids = ids or _ids([str((table.file or Path(row[_FILE])).resolve())])
    at = {ours: values[ours] for ours in PLACE if ours in values}
    return Result(place, named, ids, at, scores if status == "ok" else {}, status, unit)


def _beside(ours: str) -> bool:
    """Whether a column belongs to the scores and is none: the levels of guessing, and what the start was trained on."""
    return ours in ("chance", "start_tokens") or ours.startswith("chance:")


def _ids(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found for text in texts for found in ID.findall(text)))
