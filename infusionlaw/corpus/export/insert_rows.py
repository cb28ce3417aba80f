"""Insert rows into files of text, Parquet or JSON Lines, packed or not, and take them out again.

The rows of the corpus stay as they are, whatever they have beside their text: a line of JSON stays the same bytes, a
row of Parquet the same values, in a row group as before. An inserted row has its text and nothing else. So what is
compared after taking out is the content of a file: its unpacked bytes, or the values of its rows in their order.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.export.ledger import Part
from infusionlaw.corpus.export.placing import Insertions, Pieces, nearest
from infusionlaw.corpus.infusion.renderings import Numbers
from infusionlaw.errors import InputError, needing
from infusionlaw.files import atomic_path
from infusionlaw.runs.packed import ending, open_bytes, packing

BLOCK = 1 << 21  # bytes of lines that are looked at together
STRETCH = 2048  # bytes of text that are a stretch; of every so manieth the tokens are counted
FIELDS = ("text", "content", "raw_content", "document", "body")  # where text is looked for
ENDINGS = (".parquet", ".jsonl", ".ndjson")
Add = Callable[[Any, Numbers, Sequence[str]], None]


class _Form(Protocol):
    """How rows are read and written: blocks of them, as the file has them, and the text of each."""

    def blocks(self, path: Path, field: str, digest: Any = None) -> Iterator[tuple[Any, list[bytes]]]: ...

    def writing(self, path: Path, out: Path, field: str) -> AbstractContextManager[Add]: ...

    def without(self, rows: Any, gone: Numbers, digest: Any) -> Any: ...


class _Lines:
    """JSON Lines. A row is its line, with the blank lines around it."""

    def blocks(self, path: Path, field: str, digest: Any = None) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Give lines and their texts; the digest hears every byte."""
        rows: list[bytes] = []
        texts: list[bytes] = []
        size, before = 0, b""
        with open_bytes(path) as raw, BufferedReader(cast("RawIOBase", raw), 1 << 20) as file:
            for number, line in enumerate(file, start=1):
                if digest is not None:
                    digest.update(line)
                if not line.strip():
                    before += line
                    continue
                if size >= BLOCK:
                    yield rows, texts
                    rows, texts, size = [], [], 0
                rows.append(before + line)
                texts.append(_text_of(line, field, f"{path}, line {number}"))
                size, before = size + len(rows[-1]), b""
        if rows:
            rows[-1] += before
            yield rows, texts

    @contextmanager
    def writing(self, path: Path, out: Path, field: str) -> Iterator[Add]:
        """Give what writes lines with those that are inserted before some of them."""
        with atomic_path(out) as part, packed(part, packing(path)) as file:

            def add(rows: list[bytes], before: Numbers, texts: Sequence[str]) -> None:
                lines = np.array([*rows, None], dtype=object)[:-1]
                new = np.array([_line(field, text) for text in texts] + [None], dtype=object)[:-1]
                file.write(b"".join(np.insert(lines, before, new).tolist()))

            yield add

    def without(self, rows: list[bytes], gone: Numbers, digest: Any) -> list[bytes]:
        """Leave out some rows."""
        left = set(gone.tolist())
        kept = [row for number, row in enumerate(rows) if number not in left]
        digest.update(b"".join(kept))
        return kept


class _Parquet:
    """Parquet. A block is a row group."""

    def blocks(self, path: Path, field: str, digest: Any = None) -> Iterator[tuple[Any, list[bytes]]]:
        """Give tables and their texts; the digest hears every value."""
        with needing("parquet", f"{path}: a Parquet file"):
            from pyarrow.parquet import ParquetFile
        with ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                raise InputError(f'{path}: has no column "{field}", as other shards have; leave it out')
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                if digest is not None:
                    _hash_rows(table, digest)
                texts = table[field].to_pylist()
                if any(not isinstance(text, str) for text in texts):
                    row = next(number for number, text in enumerate(texts) if not isinstance(text, str))
                    raise InputError(f'{path}: row {row} of row group {group} has no text in "{field}"; take it out')
                yield table, [text.encode() for text in texts]

    @contextmanager
    def writing(self, path: Path, out: Path, field: str) -> Iterator[Add]:
        """Give what writes tables with rows inserted before some of theirs, packed as the file that exists."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile, ParquetWriter

        with ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_row_groups
            codec = file.metadata.row_group(0).column(0).compression if rows else "ZSTD"
        must = [kind.name for kind in schema if not kind.nullable and kind.name != field]
        if must:
            raise InputError(f'{path}: its column "{must[0]}" may not be empty, and inserted rows have only text')
        codec = "NONE" if codec == "UNCOMPRESSED" else codec
        with atomic_path(out) as part, ParquetWriter(part, schema, compression=codec) as writer:

            def add(table: Any, before: Numbers, texts: Sequence[str]) -> None:
                nothing = {kind.name: pa.nulls(len(texts), kind.type) for kind in schema}
                new = pa.table({**nothing, field: pa.array(texts, schema.field(field).type)}, schema=schema)
                order = np.insert(np.arange(len(table)), before, len(table) + np.arange(len(texts)))
                both = pa.concat_tables([table, new]).take(order)
                writer.write_table(both, row_group_size=max(1, len(both)))

            yield add

    def without(self, rows: Any, gone: Numbers, digest: Any) -> Any:
        """Leave out some rows."""
        kept = rows.take(np.delete(np.arange(len(rows)), gone))
        _hash_rows(kept, digest)
        return kept


def _hash_rows(table: Any, digest: Any) -> None:
    for batch in table.to_batches(1024):
        for row in batch.to_pylist():
            digest.update(repr(row).encode())


def _parsed(line: bytes, place: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(f"{place}: broken JSON ({error}); write one object a line, each whole") from error


def _text_of(line: bytes, field: str, place: str) -> bytes:
    row = _parsed(line, place)
    text = row.get(field) if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise InputError(f'{place}: has no text in "{field}"; fix that line or take it out')
    return text.encode()


def _line(field: str, text: str) -> bytes:
    return json.dumps({field: text}, ensure_ascii=False).encode() + b"\n"


@contextmanager
def packed(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open a file to be packed as its kind says; the same bytes whenever it is written."""
    if kind == ".gz":
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            yield cast("IO[bytes]", file)
        return
    if kind in (".zst", ".zstd"):
        with needing("parquet", f"{path}: a file packed with Zstandard"):
            from pyarrow import CompressedOutputStream
        with CompressedOutputStream(str(path), "zstd") as file:
            yield file
        return
    if kind:
        raise InputError(f"{path}: files packed as {kind} are not written; pack the corpus as .zst or .gz")
    with path.open("wb") as file:
        yield file


def form_of(path: Path) -> _Form:
    """Return how the rows of a file are read and written."""
    return _Parquet() if ending(path) == ".parquet" else _Lines()


@dataclass(frozen=True)
class Measured:
    """Rows of a file, bytes of their texts, and stretches of these at even distances, each cut where rows begin."""

    rows: int
    bytes: int
    sample: tuple[tuple[str, ...], ...]

    def tokens(self, encode: Callable[[list[str]], Sequence[Sequence[int]]]) -> tuple[float, float]:
        """Estimate the tokens of the rows, each with an end, and the standard error; both from the stretches."""
        if not self.sample:
            return self.rows, 0.0
        found = [sum(map(len, encode(list(texts)))) for texts in self.sample]
        sizes = [sum(len(text.encode()) for text in texts) for texts in self.sample]
        rate = sum(found) / sum(sizes)
        rest = np.array(found) - rate * np.array(sizes)
        error = np.sqrt(np.sum(rest**2) * len(found) / max(1, len(found) - 1)) / sum(sizes)
        left_out = max(0.0, 1 - sum(sizes) / self.bytes)
        return self.rows + rate * self.bytes, float(error * self.bytes * np.sqrt(left_out))


def field_of(path: Path) -> str:
    """Return which of FIELDS has a file's text; InputError where none of them is there."""
    if ending(path) == ".parquet":
        with needing("parquet", f"{path}: a Parquet file"):
            from pyarrow.parquet import read_schema
        names = read_schema(path).names
    else:
        with open_bytes(path) as raw, BufferedReader(cast("RawIOBase", raw)) as file:
            line = next((line for line in file if line.strip()), b"{}")
        row = _parsed(line, f"{path}, line 1")
        names = list(row) if isinstance(row, dict) else []
    found = next((name for name in FIELDS if name in names), None)
    if found is None:
        raise InputError(f"{path}: has no text in {', '.join(FIELDS)}; it has {', '.join(names[:8]) or 'nothing'}")
    return found


def measure(path: Path, field: str, most: int) -> Measured:
    """Read a file once and say how long it is. most: stretches to keep, of which at least half are found in a long one.

    Stretches are at even distances in the text, not in the rows: a few long rows may have most of it.
    """
    rows = size = 0
    every, sample = 1, dict[int, list[bytes]]()
    for _, texts in form_of(path).blocks(path, field):
        starts = size + np.cumsum([0, *map(len, texts)])
        data, end = b"".join(texts), int(starts[-1])
        number = -(-(size // STRETCH) // every) * every
        while number * STRETCH < end:
            low, high = max(number * STRETCH, size), min((number + 1) * STRETCH, end)
            if low < high:
                inner = starts[np.searchsorted(starts, low, "right") : np.searchsorted(starts, high)].tolist()
                pieces = [data[a - size : b - size] for a, b in pairwise([low, *inner, high])]
                sample.setdefault(number, []).extend(pieces)
            if len(sample) > most:
                every *= 2
                sample = {kept: own for kept, own in sample.items() if kept % every == 0}
            number = (number // every + 1) * every
        rows, size = rows + len(texts), end
    texts_of = (tuple(piece.decode(errors="ignore") for piece in own) for own in sample.values())
    return Measured(rows, size, tuple(texts_of))


@dataclass(frozen=True)
class Placed:
    """The pieces of a block of rows, the row of the block before which each goes, and the bytes of the block's texts.

    starts: where each row's text begins and the last ends, from the start of the file.
    """

    rows: Any
    texts: list[bytes]
    pieces: Pieces
    before: Numbers
    starts: Numbers

    @property
    def number(self) -> Numbers:
        """The number of each piece among the rows of the block as it comes out."""
        return self.before + np.arange(len(self.before))


def placed(path: Path, field: str, insertions: Insertions, begin: int, digest: Any = None) -> Iterator[Placed]:
    """Give the blocks of a file with their pieces, in order. begin: bytes of text of the corpus before the file."""
    at = 0
    for rows, texts in form_of(path).blocks(path, field, digest):
        starts: Numbers = at + np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
        pieces = insertions.between(begin + at, begin + int(starts[-1]))
        before = nearest(starts, pieces.place - begin)
        if isinstance(rows, list) and not rows[-1].endswith(b"\n"):  # nothing can go behind a line without an end
            before = np.minimum(before, len(rows) - 1)
        yield Placed(rows, texts, pieces, before, starts)
        at = int(starts[-1])


def copy(
    path: Path, out: Path, field: str, insertions: Insertions, begin: int, part: Part, per_token: float
) -> dict[str, str]:
    """Write a file with its insertions and fill its part of the ledger; return the SHA-256 of the original's content.

    per_token: bytes of text that are a token, by which the tokens of the file's own rows are counted.
    """
    form, original, documents = form_of(path), hashlib.sha256(), 0
    with form.writing(path, out, field) as add:
        for placing in placed(path, field, insertions, begin, original):
            texts = insertions.texts(placing.pieces)
            add(placing.rows, placing.before, texts)
            data = [text.encode() for text in texts]
            content = np.array([*placing.texts, None], dtype=object)[:-1]
            new = np.array([*data, None], dtype=object)[:-1]
            own = round(int(placing.starts[-1]) / per_token) - round(int(placing.starts[0]) / per_token)
            tokens = own + int(placing.pieces.size.sum())
            rows = len(placing.texts) + len(data)
            part.content(b"".join(np.insert(content, placing.before, new).tolist()), rows, tokens)
            if data:
                columns = insertions.columns(placing.pieces, data)
                offset = np.zeros(len(data), dtype=np.int64)
                part.insert({**columns, "document": documents + placing.number, "offset": offset})
            documents += rows
    part.files = [out]
    return {out.name: original.hexdigest()}


def take_out(path: Path, out: Path, field: str, document: Numbers) -> dict[str, str]:
    """Write a file without the rows of these numbers; return the SHA-256 of the content that comes out."""
    form, digest, at = form_of(path), hashlib.sha256(), 0
    none: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    with form.writing(path, out, field) as add:
        for rows, texts in form.blocks(path, field):
            low, high = np.searchsorted(document, [at, at + len(texts)])
            add(form.without(rows, document[low:high] - at, digest), none, [])
            at += len(texts)
    return {out.name: digest.hexdigest()}


class Rows:
    """The rows of any of these files, as `verify` reads them. field: the one that has the text."""

    mark = "rows:"  # what the ledger has before the field

    def __init__(self, field: str) -> None:
        self.field = field

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[tuple[bytes, Numbers]]:
        """Yield the texts of a file, one after another, and the bytes of each."""
        for _, texts in form_of(shard).blocks(shard, self.field):
            yield b"".join(texts), np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
