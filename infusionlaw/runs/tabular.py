"""A file of rows, whatever they mean: tables of runs and losses, facts, templates, documents. One set of rules.

    .csv, .tsv, .txt          UTF-8; comma, semicolon, tab or bar, whichever splits the first row into most names
    .jsonl, .ndjson, .json    an object a line, or one list of objects
    .parquet                  values as they are typed

All but Parquet may be packed (`packed.PACKED`). Rows have the numbers that a person sees: in a text table the first
row names the columns and the first row of data is row 2, as in a spreadsheet; in JSON a row is a line, or a place in
the list from 1; in Parquet the first row is row 1. Blank rows are left out.

Where tabs part the cells, a quotation mark is a character like others, as `text/tab-separated-values` has it: a song
called "Heroes" keeps its quotes, and an odd quote does not swallow the rows below. It is taken off where a writer of
CSV put it: around all names of the columns, around every cell of a column (where rows are held), or around a cell whose
own quotes are doubled.

Sizes are checked while reading, for a packed file says nothing of what is in it. A row is at most `packed.LONGEST`
characters; `MOST_ROWS`, `MOST_CELLS` and `MOST_TEXT` bound what is held in memory, and nothing what is streamed.
"""

import csv
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from infusionlaw.errors import InputError, nearest, needing
from infusionlaw.recognise import refuse_no_rows
from infusionlaw.runs.packed import LONGEST, PACKED, check_file, ending, lines, open_text, packing

TEXT_TABLES, JSON = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson", ".json")
KINDS = (*TEXT_TABLES, *JSON, ".parquet")
# What may be held in memory, at most about a gigabyte: rows, blank ones too; rows times columns; characters.
MOST_ROWS, MOST_CELLS, MOST_TEXT = 1_000_000, 5_000_000, 100_000_000
BATCH = 1024  # rows of a Parquet file held at a time, fewer where they may be long
HELD = 2**29  # bytes of a Parquet column that its reader may have to hold at once
_DELIMITERS = ("\t", ";", "|", ",")  # where two split a first row alike, the later is the likelier part of a name
_BLANK = " \t\r\n\ufeff"  # between values of JSON; byte-order marks where files were joined
CHUNK = 2**16  # characters of a JSON list that are read at a time
_EXCELS = re.compile(r'"?sep=."?$')  # a first line that tells Excel the delimiter

Cells = dict[str, Any]


def read_rows(path: str | Path) -> tuple[list[str], dict[int, Cells]]:
    """Return the names of the columns, in order, and the rows by their number in the file.

    Text is stripped and an empty cell is None; what an object of JSON lacks is None as well. Columns without a name are
    left out. Raises InputError with file and row, also where there is no row.
    """
    rows, names, text = {}, dict[str, None](), 0
    for number, row in stream_rows(path, most=MOST_ROWS):
        rows[number] = {name: _stripped(cell) for name, cell in row.items()}
        names |= dict.fromkeys(row)
        text += sum(map(_size, row.values()))
        if len(rows) * len(names) > MOST_CELLS:
            raise _too_large(path, f"{MOST_CELLS:,} cells (rows times columns)")
        if text > MOST_TEXT:
            raise _too_large(path, f"{MOST_TEXT:,} characters")
    if not rows:
        raise InputError(f"{path}: there are no rows in it")
    if ending(Path(path)) in TEXT_TABLES:
        for name in names:
            _unquote(rows.values(), name)
    for number, row in rows.items():
        if len(row) < len(names) or list(row) != list(names):
            rows[number] = {name: row.get(name) for name in names}
    return list(names), rows


def _unquote(rows: Collection[Cells], name: str) -> None:
    """Take the quotes off a column of which every filled cell has them: a writer of CSV set them between tabs."""
    filled = [row for row in rows if row.get(name) is not None]
    if len(filled) > 1 and all(_unquoted(row[name], True) != row[name] for row in filled):
        for row in filled:
            row[name] = _unquoted(row[name], True).strip() or None


def _size(cell: Any) -> int:
    """Characters of a cell; what holds others counts as 64 for itself."""
    size, left = 0, [cell]
    while left:
        value = left.pop()
        if isinstance(value, str | bytes):
            size += len(value)
        elif isinstance(value, list | tuple | dict):
            size += 64 + 8 * len(value)
            left += value.values() if isinstance(value, dict) else value
    return size


def _too_large(path: str | Path, limit: str) -> InputError:
    return InputError(
        f"{path}: more than {limit}, the most of a file whose rows are held in memory; split it or take rows out"
    )


def stream_rows(path: str | Path, only: str | None = None, most: int | None = None) -> Iterator[tuple[int, Cells]]:
    """Yield each row's number in the file and its cells, as they stand there, without holding the file in memory.

    only: the one column that is wanted; a row that lacks it is refused. most: refuse a file of more rows, blank ones
    too. Raises InputError with file and row.
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
        yield from _parquet_rows(path, only, most)
    elif kind == ".json" and _is_list(path):
        with open_text(path, newline="") as text:
            yield from _counted(path, _json_list(path, text, only), most)
    else:
        with open_text(path, newline="") as text:
            there = lines(text, path)
            numbered = _json_rows(path, there, only) if kind in JSON else _text_rows(path, there, only)
            yield from _counted(path, numbered, most)


def _counted(path: Path, rows: Iterable[tuple[int, Cells | None]], most: int | None) -> Iterator[tuple[int, Cells]]:
    """The rows that are not blank; InputError where there are more than `most`, blank ones too."""
    blank = 0
    for read, (number, row) in enumerate(rows, start=1):
        if most is not None and read > most:
            raise _too_large(path, f"{most:,} rows")
        blank = 0 if row is not None else blank + 1
        if blank > MOST_ROWS:
            raise InputError(f"{path}, row {number}: {blank:,} blank rows before it; check what the file is")
        if row is not None:
            yield number, row


def bare(name: str) -> str:
    """A column's name without case, spaces, hyphens and underscores: what is compared when columns are looked up."""
    return re.sub(r"[\s_-]", "", name).casefold()


def _stripped(cell: Any) -> Any:
    return (cell.strip() or None) if isinstance(cell, str) else cell


def _wanted(only: str | None, names: Iterable[str], place: str) -> None:
    if only is not None and only not in (names := list(names)):
        raise InputError(f'{place}: "{only}" is missing; fix that, or name another column ({nearest(only, names)})')


# Text tables


def _text_rows(path: Path, there: Iterator[str], only: str | None) -> Iterator[tuple[int, Cells | None]]:
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    first = next(there, "")
    if not first.strip():
        what = "row 1: the row is blank" if any(line.strip() for line in islice(there, BATCH)) else "the file is empty"
        raise InputError(f"{path}, {what}; the first row must name the columns")
    if "\0" in first:
        raise InputError(
            f"{path}, row 1: there are NUL characters in it, so it is UTF-16 or no text; save the file as UTF-8"
        )
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
        row[:1] = [cell.lstrip("\ufeff") for cell in row[:1]]  # where files were joined
        if not any(cell.strip() for cell in row):
            yield number, None
            continue
        empty = False
        if len(row) > 1 and [" ".join(cell.split()) for cell in row] == header:
            raise InputError(
                f"{path}, row {number}: it repeats the names of the columns, as where files were joined; take it out"
            )
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
    done = size = 0

    def within() -> Iterator[str]:
        nonlocal size
        for line in there:
            size += len(line)
            if size > LONGEST:
                raise InputError(f"{path}, row {done + 1}: longer than {LONGEST:,} characters; fix its quotes")
            yield line

    try:
        for row in csv.reader(within(), delimiter=delimiter, skipinitialspace=True, strict=True):
            done, size = done + 1, 0
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
    twice = _twice(name for name in header if name)
    if twice:
        raise InputError(f'{path}: two columns are named "{twice}"; rename or remove one')


def _twice(names: Iterable[str]) -> str | None:
    """The first name that was there before."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


# JSON


def _is_list(path: Path) -> bool:
    """Whether the first character of a JSON file opens a list."""
    with open_text(path) as text:
        start = next((part for part in iter(lambda: text.read(CHUNK), "") if part.strip(_BLANK)), "")
    return start.lstrip(_BLANK).startswith("[")


def _json_rows(path: Path, there: Iterator[str], only: str | None) -> Iterator[tuple[int, Cells | None]]:
    """One object a line."""
    for number, line in enumerate(there, start=1):
        place = f"{path}, row {number}"
        yield number, _object(_parsed(line.lstrip(_BLANK), place), place, only) if line.strip(_BLANK) else None


def _json_list(path: Path, text: TextIO, only: str | None) -> Iterator[tuple[int, Cells]]:
    """The objects of one list, each as soon as the whole of it is read."""
    source = _Ahead(text)
    source.sign()
    source.at += 1
    number, sign = 0, "" if source.sign() == "]" else ","
    while sign == ",":
        number += 1
        place = f"{path}, row {number}"
        if source.sign() != "{":
            what = (
                "broken JSON (the list has a gap or no end)" if source.sign() in ("", ",", "]") else "not a JSON object"
            )
            raise InputError(f'{place}: {what}; write [{{"name": value, ...}}, ...]')
        yield number, _object(_next_object(source, place), place, only)
        sign = source.sign()
        source.at += 1
        if not sign or sign not in ",]":
            raise InputError(f"{place}: broken JSON (no comma and no end of the list after it); fix what follows it")
    if not number:
        source.at += 1
    if source.sign():
        raise InputError(f"{path}: broken JSON (there is more after the end of the list); write one list")


class _Ahead:
    """A text that is read as far as it is needed: what is read of it and the place in that."""

    def __init__(self, text: TextIO) -> None:
        self._text, self.read, self.at = text, "", 0

    def more(self) -> bool:
        """Read as much again as is read and not yet used; whether there was more."""
        rest = self.read[self.at :]
        new = self._text.read(max(CHUNK, len(rest)))
        self.read, self.at = rest + new, 0
        return bool(new)

    def sign(self) -> str:
        """The next character that is not blank, "" at the end; the place moves there."""
        while True:
            while self.at < len(self.read) and self.read[self.at] in _BLANK:
                self.at += 1
            if self.at < len(self.read):
                return self.read[self.at]
            if not self.more():
                return ""


def _next_object(source: _Ahead, place: str) -> Any:
    while True:
        try:
            row, source.at = _DECODER.raw_decode(source.read, source.at)
        except json.JSONDecodeError as error:  # broken, or not yet whole
            if len(source.read) - source.at > LONGEST:
                raise InputError(f"{place}: broken JSON, or longer than {LONGEST:,} characters; fix it") from error
            if not source.more():
                raise InputError(f"{place}: broken JSON ({error.msg}); fix that object") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{place}: broken JSON ({error}); fix that object") from error
        else:
            return row


def _parsed(text: str, place: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: broken JSON ({error}); write one object a line, each whole") from error


def _keyed_once(pairs: list[tuple[str, Any]]) -> Cells:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError(f'the key "{_twice(key for key, _ in pairs)}" stands twice in an object')
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_keyed_once)


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


def _parquet_rows(path: Path, only: str | None, most: int | None) -> Iterator[tuple[int, Cells]]:
    check_file(path)
    with needing("parquet", f"{path}: a Parquet file"):
        from pyarrow import parquet
    number = 0
    try:
        # left to itself, pyarrow fetches the whole file ahead and keeps it
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            names = file.schema_arrow.names
            header = [" ".join(name.split()) for name in names]
            _named_once(header, path)
            _wanted(only, header, str(path))
            if most is not None and file.metadata.num_rows > most:
                raise _too_large(path, f"{most:,} rows")
            kept = [name for name, shown in zip(names, header, strict=True) if shown and only in (None, shown)]
            for group in range(file.metadata.num_row_groups):
                rows = _rows_at_once(file.metadata.row_group(group), set(kept), f"{path}, row {number + 1}")
                for batch in file.iter_batches(rows, row_groups=[group], columns=kept):
                    named = [(" ".join(name.split()), _dated(batch.column(name), only)) for name in kept]
                    _check_lengths(named, f"{path}, below row {number}")
                    for row in range(batch.num_rows):
                        number += 1
                        place = f"{path}, row {number}"
                        yield number, {name: _plain(column[row], place, only) for name, column in named}
    except InputError:
        raise
    except Exception as error:  # pyarrow raises many kinds, some of them its own
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not a readable Parquet file ({why}); write it again") from error


def _rows_at_once(group: Any, kept: Collection[str], place: str) -> int:
    """How many rows of a row group to read at a time, so that none of its columns takes more than HELD bytes.

    Packed, a value of a gigabyte or a million equal ones take no room; the sizes that the file states are unpacked.
    """
    rows, largest = max(group.num_rows, 1), 1
    for i in range(group.num_columns):
        column = group.column(i)
        names = column.path_in_schema.split(".")
        if not any(".".join(names[:end]) in kept for end in range(1, len(names) + 1)):
            continue
        nested = 32 * column.num_values if column.num_values > rows else 0
        size = max(column.total_uncompressed_size, nested)
        if size / rows > LONGEST:
            raise InputError(
                f'{place}: "{column.path_in_schema}" has {size / rows:,.0f} bytes a row and may have {LONGEST:,}; '
                "check what the file is"
            )
        if size * min(1, BATCH / rows) > HELD:
            raise InputError(
                f'{place}: "{column.path_in_schema}" has {size:,} bytes in {rows:,} rows, more than can be read at '
                f"once ({HELD:,}); write the file again with fewer rows a row group"
            )
        largest = max(largest, size)
    # One value may be repeated in all rows of a batch; where rows are few, it may be nearly all of the column.
    least = 64 if rows > 10 * BATCH else 16 if largest < LONGEST else 1
    return min(max(HELD // 8 // largest, least), BATCH)


def _dated(column: Any, only: str | None) -> Any:
    """A column of a table; dates and times in it are text, as in other files, and need no pandas."""
    import pyarrow

    if only is None and pyarrow.types.is_temporal(column.type):
        with suppress(pyarrow.ArrowException):
            return column.cast(pyarrow.string())
    return column


def _check_lengths(named: Sequence[tuple[str, Any]], place: str) -> None:
    import pyarrow.compute
    from pyarrow import types

    for name, column in named:
        if types.is_string(column.type) or types.is_large_string(column.type) or types.is_binary(column.type):
            longest = pyarrow.compute.max(pyarrow.compute.binary_length(column)).as_py() or 0
            if longest > LONGEST:
                raise InputError(f'{place}: "{name}" has a cell of {longest:,} bytes and may have {LONGEST:,}')


def _plain(cell: Any, place: str, only: str | None) -> Any:
    """A cell; text that was written as bytes, as some tools do, is text. In a table other bytes stay what they are."""
    value = None
    try:
        value = cell.as_py()
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError as error:
        if only is None and isinstance(value, bytes):
            return value
        raise InputError(f"{place}: the text is not UTF-8 at byte {error.start}; fix that row") from error
