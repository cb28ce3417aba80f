"""A file of rows, whatever they mean: tables of runs and losses, facts, templates, documents. One set of rules.

    .csv, .tsv, .txt          UTF-8; comma, semicolon, tab or bar, whichever splits the first row into most names
    .jsonl, .ndjson, .json    an object a line, or one list of objects
    .parquet                  values as they are typed

All but Parquet may be packed (`packed.PACKED`). Rows have the numbers that a person sees: in a text table the first
row names the columns and the first row of data is row 2, as in a spreadsheet; in JSON a row is a line, or a place in
the list from 1; in Parquet the first row is row 1. Blank rows are left out.

Where tabs part the cells, a quotation mark is a character like others, as `text/tab-separated-values` has it: a song
called "Heroes" keeps its quotes, and an odd quote does not swallow the rows below. It is taken off where a writer of
CSV put it: around all names of the columns, or around a cell whose own quotes are doubled.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError, nearest
from infusionlaw.recognise import refuse_no_rows
from infusionlaw.runs.packed import LONGEST, PACKED, ending, lines, open_text, packing

TEXT_TABLES, JSON = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson", ".json")
KINDS = (*TEXT_TABLES, *JSON, ".parquet")
BATCH = 1024  # rows of a Parquet file held at a time
_DELIMITERS = ("\t", ";", "|", ",")  # where two split a first row alike, the later is the likelier part of a name
_EXCELS = re.compile(r'"?sep=."?$')  # a first line that tells Excel the delimiter

Cells = dict[str, Any]


def read_rows(path: str | Path) -> tuple[list[str], dict[int, Cells]]:
    """Return the names of the columns, in order, and the rows by their number in the file.

    Text is stripped and an empty cell is None; what an object of JSON lacks is None as well. Columns without a name are
    left out. Raises InputError with file and row, also where there is no row.
    """
    rows = {number: {name: _stripped(cell) for name, cell in row.items()} for number, row in stream_rows(path)}
    if not rows:
        raise InputError(f"{path}: there are no rows in it")
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    return names, {number: {name: row.get(name) for name in names} for number, row in rows.items()}


def stream_rows(path: str | Path, only: str | None = None) -> Iterator[tuple[int, Cells]]:
    """Yield each row's number in the file and its cells, as they stand there, without holding the file in memory.

    only: the one column that is wanted; a row that lacks it is refused. Raises InputError with file and row.
    """
    path = Path(path)
    kind = ending(path)
    refuse_no_rows(path, kind)
    if kind not in KINDS or (kind == ".parquet" and packing(path)):
        raise InputError(
            f"{path}: not a kind of file that rows are read from; save it as {', '.join(KINDS)} "
            f"(all but .parquet also packed: {', '.join(PACKED)})"
        )
    if kind == ".parquet":
        yield from _parquet_rows(path, only)
        return
    with open_text(path, newline="") as text:
        there = lines(text, path)
        yield from _json_rows(path, there, only) if kind in JSON else _text_rows(path, there, only)


def bare(name: str) -> str:
    """A column's name without case, spaces, hyphens and underscores: what is compared when columns are looked up."""
    return re.sub(r"[\s_-]", "", name).casefold()


def _stripped(cell: Any) -> Any:
    return (cell.strip() or None) if isinstance(cell, str) else cell


def _wanted(only: str | None, names: Iterable[str], place: str) -> None:
    if only is not None and only not in (names := list(names)):
        raise InputError(f'{place}: "{only}" is missing; fix that, or name another column ({nearest(only, names)})')


# Text tables


def _text_rows(path: Path, there: Iterator[str], only: str | None) -> Iterator[tuple[int, Cells]]:
    first = next(there, "")
    if not first.strip():
        what = "row 1: the row is blank" if any(line.strip() for line in there) else "the file is empty"
        raise InputError(f"{path}, {what}; the first row must name the columns")
    if _EXCELS.match(first.strip()):
        raise InputError(
            f'{path}, row 1: "{first.strip()}" is no row of names; delete that line, it is for Excel alone'
        )
    delimiter = _delimiter(first, ending(path))
    split = _tabbed if delimiter == "\t" else _quoted
    rows = split(path, chain([first], there), delimiter)
    header = [" ".join(name.split()) for name in next(rows)]
    if not any(header):
        raise InputError(f"{path}, row 1: the row is blank; the first row must name the columns")
    _named_once(header, path)
    _wanted(only, header, f"{path}, row 1")
    empty = True
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        empty = False
        if len(row) != len(header):
            commas = delimiter == "," and len(row) > len(header)
            fix = "quote cells that hold a comma, and write decimals with a point" if commas else "fix it"
            raise InputError(f"{path}, row {number}: the header has {len(header)} cells and this row {len(row)}; {fix}")
        yield number, {name: cell for name, cell in zip(header, row, strict=True) if name}
    if empty:
        names = ", ".join(header[:8])
        raise InputError(f"{path}: there are no rows below the first, which is taken for the names of columns: {names}")


def _delimiter(first: str, kind: str) -> str:
    """What splits the first row into most names; where nothing does, what the ending promises."""
    parts = {delimiter: len(next(csv.reader([first], delimiter=delimiter))) for delimiter in _DELIMITERS}
    best = max(_DELIMITERS, key=lambda delimiter: parts[delimiter])
    return best if parts[best] > 1 else "\t" if kind == ".tsv" else ","


def _quoted(path: Path, there: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Rows in the manner of CSV; an open quote is refused, for it would swallow rows."""
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    done = 0
    try:
        for row in csv.reader(there, delimiter=delimiter, skipinitialspace=True, strict=True):
            done += 1
            yield row
    except csv.Error as error:
        raise InputError(f"{path}, row {done + 1}: cannot be split into cells ({error}); fix its quotes") from error


def _tabbed(path: Path, there: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Rows between tabs, where quotes are characters unless a writer of CSV set them."""
    all_quoted = False
    for number, line in enumerate(there):
        row = line.rstrip("\r\n").split(delimiter)
        if not number:
            all_quoted = all(len(name) > 1 and name[0] == name[-1] == '"' for name in row)
        yield [_unquoted(cell, all_quoted) for cell in row]


def _unquoted(cell: str, all_quoted: bool) -> str:
    """A cell without the quotes that a writer of CSV set around it."""
    inner = cell[1:-1]
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"') if all_quoted or '""' in inner else cell


def _named_once(header: Sequence[str], path: Path) -> None:
    twice = next((name for i, name in enumerate(header) if name and name in header[:i]), None)
    if twice:
        raise InputError(f'{path}: two columns are named "{twice}"; rename or remove one')


# JSON


def _json_rows(path: Path, there: Iterator[str], only: str | None) -> Iterator[tuple[int, Cells]]:
    """Objects of a list where the file begins with one, else one a line."""
    for number, line in enumerate(there, start=1):
        if not line.strip():
            continue
        if line.lstrip().startswith("[") and ending(path) == ".json":
            yield from _json_list(path, chain([line], there), only)
            return
        yield number, _object(_parsed(line, f"{path}, row {number}"), f"{path}, row {number}", only)


def _json_list(path: Path, there: Iterable[str], only: str | None) -> Iterator[tuple[int, Cells]]:
    parts, size = [], 0
    for line in there:
        parts.append(line)
        size += len(line)
        if size > LONGEST:
            raise InputError(f"{path}: a list of more than {LONGEST:,} characters; write one object a line (.jsonl)")
    for number, row in enumerate(_parsed("".join(parts), str(path)), start=1):
        yield number, _object(row, f"{path}, row {number}", only)


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_keyed_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: broken JSON ({error}); write one object a line, each whole") from error


def _keyed_once(pairs: list[tuple[str, Any]]) -> Cells:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f'the key "{twice}" stands twice in an object')
    return row


def _object(row: Any, place: str, only: str | None) -> Cells:
    """The row, an object whose wanted texts can be written as UTF-8: JSON can spell half of a surrogate pair."""
    if not isinstance(row, dict):
        raise InputError(f'{place}: not a JSON object; write {{"name": value, ...}}')
    _wanted(only, row, place)
    cells = row if only is None else {only: row[only]}
    for name, cell in cells.items():
        for text in (name, cell):
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode("utf8")
                except UnicodeEncodeError as error:
                    shown = name.encode("utf8", "replace").decode()
                    raise InputError(
                        f'{place}: "{shown}" is not UTF-8 at character {error.start}: half of a surrogate pair; '
                        "fix that text"
                    ) from error
    return cells


# Parquet


def _plain(value: Any) -> Any:
    """A cell; text that was written as bytes, as some tools do, is text."""
    return value.decode() if isinstance(value, bytes) else value


def _parquet_rows(path: Path, only: str | None) -> Iterator[tuple[int, Cells]]:
    from pyarrow import parquet

    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    number = 0
    try:
        # left to itself, pyarrow fetches the whole file ahead and keeps it
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            header = [" ".join(name.split()) for name in file.schema_arrow.names]
            _named_once(header, path)
            _wanted(only, header, str(path))
            kept = [name for name in file.schema_arrow.names if only in (None, " ".join(name.split()))]
            for batch in file.iter_batches(BATCH, columns=kept):
                named = [(" ".join(name.split()), batch.column(i)) for i, name in enumerate(batch.schema.names)]
                for row in range(batch.num_rows):
                    number += 1
                    yield number, {name: _plain(column[row].as_py()) for name, column in named if name}
    except InputError:
        raise
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, row {number}: the text is not UTF-8 at byte {error.start}; fix that row") from error
    except Exception as error:  # pyarrow raises many kinds, some of them its own
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable Parquet file ({why}); write it again") from error
