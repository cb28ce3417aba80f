"""A table file as plain rows: what is common to every table a person may bring, whatever its columns mean.

Text tables (.csv, .tsv, .txt, each also as .gz) are UTF-8, with or without Excel's byte-order mark; the delimiter is
the comma, tab or semicolon that splits the first row into most names. Parquet gives its values as they are typed. The
first row names the columns, so the first row of data is row 2, as in a spreadsheet; so it is called in Parquet too.
"""

import csv
import gzip
import re
import zlib
from io import StringIO
from pathlib import Path
from typing import Any

from infusionlaw.errors import InputError

ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet")
_DELIMITERS = "\t;,"  # where two split a first row alike, the comma is the likelier part of a name
_EXCELS = re.compile(r'"?sep=."?$')  # a first line that tells Excel the delimiter


def read_rows(path: str | Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of the columns and one dict a row; row i of the list is row i + 2 of the file.

    Text cells are stripped strings, empty ones None. A blank line within the table is a row of None, so that rows keep
    their numbers; blank lines at the end are dropped, and so are columns without a name.
    Raises InputError with file and row.
    """
    path = Path(path)
    if not path.name.lower().endswith(ENDINGS):
        raise InputError(f"{path}: not a kind of table that can be read; save it as {', '.join(ENDINGS)}")
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    header, cells = _parquet(path) if path.suffix.lower() == ".parquet" else _text_table(path)
    named = [name for name in header if name]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice:
        raise InputError(f'{path}: two columns are named "{twice}"; rename or remove one')
    return named, [{name: cell for name, cell in zip(header, row, strict=True) if name} for row in cells]


def bare(name: str) -> str:
    """A column's name without case, spaces, hyphens and underscores: what is compared when columns are looked up."""
    return re.sub(r"[\s_-]", "", name).casefold()


def _parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
        columns = [column.to_pylist() for column in table.columns]
    except Exception as error:
        raise InputError(f"{path}: not a readable Parquet file ({_one_line(error)})") from error
    return [_one_line(name) for name in table.column_names], [list(row) for row in zip(*columns, strict=True)]


def _text_table(path: Path) -> tuple[list[str], list[list[str | None]]]:
    text = _text(path)
    if not text.strip():
        raise InputError(f"{path}: the file is empty; the first row must name the columns")
    if _EXCELS.match(first := text.splitlines()[0]):
        raise InputError(
            f'{path}, row 1: "{first.strip()}" is no row of names; delete that line, it is for Excel alone'
        )
    delimiter = _delimiter(text)
    table = _split(path, text, delimiter)
    while table and not any(table[-1]):
        table.pop()
    header, rows = [_one_line(name or "") for row in table[:1] for name in row], table[1:]
    if not any(header):
        raise InputError(f"{path}, row 1: the row is blank; the first row must name the columns")
    return header, [_checked(row, len(header), delimiter, f"{path}, row {n}") for n, row in enumerate(rows, start=2)]


def _text(path: Path) -> str:
    """The whole file as text, unpacked and without a byte-order mark."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix.lower() == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error}); save it as CSV in UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({_one_line(error)})") from error


def _delimiter(text: str) -> str:
    first = next(line for line in StringIO(text, newline=None) if line.strip())
    return max(_DELIMITERS, key=lambda delimiter: len(next(csv.reader([first], delimiter=delimiter))))


def _split(path: Path, text: str, delimiter: str) -> list[list[str | None]]:
    """All rows as stripped cells, None for an empty one; an open quote is refused, for it would swallow rows."""
    table: list[list[str | None]] = []
    try:
        for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True):
            table.append([cell.strip() or None for cell in row])
    except csv.Error as error:
        raise InputError(
            f"{path}, row {len(table) + 1}: cannot be split into cells ({error}); fix its quotes"
        ) from error
    return table


def _checked(row: list[str | None], width: int, delimiter: str, place: str) -> list[str | None]:
    """A row as wide as the header; InputError when it is not."""
    if not any(row):
        return [None] * width
    if len(row) != width:
        commas = delimiter == "," and len(row) > width
        fix = "quote cells that hold a comma, and write decimals with a point" if commas else "fix it"
        raise InputError(f"{place}: the header has {width} cells and this row {len(row)}; {fix}")
    return row


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
