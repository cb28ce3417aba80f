"""The ledger of a corpus that was written: one row an insertion, and what tells whether its bytes are still those.

ledger.parquet   one row an insertion, in the order of the corpus (`COLUMNS`)
ledger.json      settings, counts, and of each shard its files with their SHA-256
ledger-sums.npy  CRC-32 of every BLOCK bytes of content, shard after shard

The content of a shard are its documents one after another, without what a format adds: their tokens as the shard has
them (unit "tokens"), or their text in UTF-8 (unit "bytes"). The part of a shard is written to PARTS as soon as the
shard is complete, so that workers need not talk to each other; `join` makes one ledger of all.
"""

import shutil
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infusionlaw.errors import InputError, needing
from infusionlaw.files import atomic_path, file_hash, read_typed, write_json, write_typed

LEDGER, ROWS, SUMS, PARTS = "ledger.json", "ledger.parquet", "ledger-sums.npy", ".parts"
BLOCK = 4096  # bytes of content that have one sum
GROUP = 1 << 16  # rows that are written together
AGAIN = "write the corpus again"
Unit = Literal["tokens", "bytes"]
Kind = Literal["fact", "document", "prior"]
INFUSED = ("fact", "document")  # the kinds that are the dose
COLUMNS = {
    "kind": "string",  # fact, document or prior
    "id": "string",  # "relation: subject" of a fact, the number of a document in its source
    "file": "string",  # that a document is from; empty for a fact
    "rendering": "int32",  # the template that states a fact; which part of a long document, from 0
    "exposure": "int32",  # how often it had been given before
    "ends": "bool",  # whether it is the last part, with which the exposure is complete
    "shard": "string",
    "document": "int64",  # its number in the shard, from 0
    "offset": "int64",  # where it begins: tokens from the start of the shard, or bytes from that of the document's text
    "tokens": "int64",
    "bytes": "int64",  # of it in the shard's content
    "sha256": "string",  # of these bytes, in hex
}
Columns = Mapping[str, Any]  # of each name as many values: a list, an array of numpy or one of pyarrow


@dataclass(frozen=True)
class Shard:
    """What a shard holds. files: SHA-256 by name, from the corpus's folder; bytes: of its content."""

    name: str
    files: dict[str, str]
    documents: int
    tokens: int
    bytes: int
    insertions: int


@dataclass(frozen=True)
class KindCount:
    """The insertions of a kind: tokens, bytes, how many different items, how often each of these was completed."""

    insertions: int
    tokens: int
    bytes: int
    items: int
    least_exposures: int
    most_exposures: int
    mean_exposures: float


@dataclass(frozen=True)
class Ledger:
    """ledger.json. settings: what the corpus was written with.

    tokens_error: standard error of tokens / tokens, 0 where all were counted; share: tokens of facts and documents /
    tokens; share_of_bytes: their bytes / bytes of content, which is always exact.
    """

    format: str
    unit: Unit
    dtype: str
    tokens: int
    tokens_error: float
    documents: int
    share: float
    share_of_bytes: float
    kinds: dict[Kind, KindCount]
    settings: dict[str, Any]
    shards: tuple[Shard, ...]


class Sums:
    """CRC-32 of every BLOCK bytes of what is added."""

    def __init__(self) -> None:
        self.bytes = 0
        self._left = b""
        self._found = array("I")

    @property
    def whole(self) -> "array[int]":
        """Those of whole blocks so far."""
        return self._found

    def add(self, data: Any) -> None:
        """Add what has a buffer, such as bytes or an array."""
        if not len(data):
            return
        view = memoryview(data).cast("B")
        self.bytes += len(view)
        if self._left:
            missing = BLOCK - len(self._left)
            self._left += view[:missing]
            if len(self._left) < BLOCK:
                return
            self._found.append(zlib.crc32(self._left))
            view = view[missing:]
        whole = len(view) - len(view) % BLOCK
        self._found.extend([zlib.crc32(view[at : at + BLOCK]) for at in range(0, whole, BLOCK)])
        self._left = bytes(view[whole:])

    def all(self) -> NDArray[np.uint32]:
        """The sums, the last of which may be of fewer bytes."""
        rest = [zlib.crc32(self._left)] if self._left else []
        return np.array([*self._found, *rest], dtype=np.uint32)


class Part:
    """The ledger of one shard while it is written. files: those of the shard, once they have their names."""

    def __init__(self, shard: str, writer: Any) -> None:
        self._shard, self._writer, self._waiting = shard, writer, 0
        self._tables: list[Any] = []
        self.files: Sequence[Path] = ()
        self.sums = Sums()
        self.documents = self.tokens = self.insertions = 0

    def content(self, data: Any, documents: int, tokens: int) -> None:
        """Add the bytes of so many documents, in their order; the tokens are known where they are text."""
        self.sums.add(data)
        self.documents += documents
        self.tokens += tokens

    def insert(self, columns: Columns) -> None:
        """Add rows of insertions: all of COLUMNS but the shard."""
        import pyarrow as pa

        every, schema = {**columns, "shard": [self._shard] * len(columns["tokens"])}, _schema()
        arrays = [
            own if isinstance(own := every[name], pa.Array) else pa.array(own, kind.type)
            for name, kind in zip(COLUMNS, schema, strict=True)
        ]
        table = pa.table(arrays, schema=schema)
        self.insertions += len(table)
        self._waiting += len(table)
        self._tables.append(table)
        if self._waiting >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits to be written."""
        import pyarrow as pa

        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables).combine_chunks())
        self._tables, self._waiting = [], 0


@contextmanager
def part_of(folder: Path, shard: str) -> Iterator[Part]:
    """Give the part of a shard to fill; it is complete when the block ends well, and its JSON is written last."""
    places = {end: folder / PARTS / f"{shard}{end}" for end in (".parquet", ".npy", ".json")}
    with atomic_path(places[".parquet"]) as rows, _writer(rows) as writer:
        part = Part(shard, writer)
        yield part
        part.flush()
    with atomic_path(places[".npy"]) as sums, sums.open("wb") as handle:
        np.save(handle, part.sums.all())
    files = {path.relative_to(folder).as_posix(): file_hash(path) for path in part.files}
    found = Shard(shard, files, part.documents, part.tokens, part.sums.bytes, part.insertions)
    write_json(places[".json"], asdict(found))


def finished(folder: Path, shard: str) -> bool:
    """Whether a shard and its part are complete, so that it need not be written again."""
    path = folder / PARTS / f"{shard}.json"
    return path.exists() and all((folder / name).exists() for name in _read_part(path).files)


def check_finished(folder: Path, shards: Iterable[str]) -> None:
    """Raise InputError with the first shard that is not written yet."""
    for shard in shards:
        if not finished(folder, shard):
            raise InputError(f"{folder / shard}: is not written yet; run the same command again")


def join(
    folder: Path,
    shards: Sequence[str],
    *,
    format: str,
    unit: Unit,
    dtype: str,
    settings: Mapping[str, Any],
    error: float = 0.0,
) -> Ledger:
    """Make one ledger of the parts of all shards, in their order, and remove the parts. error: see `Ledger`."""
    check_finished(folder, shards)
    found = [_read_part(folder / PARTS / f"{shard}.json") for shard in shards]
    counts = Counts()
    with atomic_path(folder / ROWS) as path, _writer(path) as writer:
        for shard in shards:
            for table in _tables(folder / PARTS / f"{shard}.parquet"):
                writer.write_table(table)
                counts.add(table)
    sums = [np.load(folder / PARTS / f"{shard}.npy", allow_pickle=False) for shard in shards]
    with atomic_path(folder / SUMS) as path, path.open("wb") as handle:
        np.save(handle, np.concatenate([np.empty(0, np.uint32), *sums]))
    tokens, kinds = sum(shard.tokens for shard in found), counts.by_kind()
    ledger = Ledger(
        format=format,
        unit=unit,
        dtype=dtype,
        tokens=tokens,
        tokens_error=error,
        documents=sum(shard.documents for shard in found),
        share=share_of(kinds, tokens),
        share_of_bytes=share_of_bytes(kinds, found),
        kinds=kinds,
        settings=dict(settings),
        shards=tuple(found),
    )
    write_typed(folder / LEDGER, ledger, Ledger)
    shutil.rmtree(folder / PARTS)
    return ledger


def read_ledger(folder: Path) -> Ledger:
    """Read ledger.json of a corpus that was written; InputError when it is none."""
    return read_typed(folder / LEDGER, Ledger, "the ledger of a corpus", AGAIN)


def rows_of(folder: Path) -> Iterator[Any]:
    """Yield the rows of ledger.parquet in their order, as tables of pyarrow."""
    path = folder / ROWS
    if not path.exists():
        raise InputError(f"{path}: no such file; {AGAIN}")
    yield from _tables(path)


def share_of(kinds: Mapping[Kind, KindCount], tokens: int) -> float:
    """Return infused tokens / tokens; prior facts are not infused."""
    return sum(kinds[kind].tokens for kind in kinds if kind in INFUSED) / max(1, tokens)


def share_of_bytes(kinds: Mapping[Kind, KindCount], shards: Sequence[Shard]) -> float:
    """Return infused bytes / bytes of content."""
    return sum(kinds[kind].bytes for kind in kinds if kind in INFUSED) / max(1, sum(shard.bytes for shard in shards))


class Counts:
    """Insertions, tokens, bytes and exposures by kind, table by table."""

    def __init__(self) -> None:
        self._totals: defaultdict[Kind, Counter[str]] = defaultdict(Counter)
        self._ended: defaultdict[Kind, Counter[str]] = defaultdict(Counter)

    def add(self, table: Any) -> None:
        """Count the rows of a table."""
        grouped = table.group_by(["kind", "id"]).aggregate(
            [("tokens", "sum"), ("bytes", "sum"), ("tokens", "count"), ("ends", "sum")]
        )
        for row in grouped.to_pylist():
            self._totals[row["kind"]].update(
                insertions=row["tokens_count"], tokens=row["tokens_sum"], bytes=row["bytes_sum"]
            )
            self._ended[row["kind"]][row["id"]] += row["ends_sum"] or 0

    def by_kind(self) -> dict[Kind, KindCount]:
        """Return what was counted."""
        return {
            kind: KindCount(
                **self._totals[kind],
                items=len(ended),
                least_exposures=min(ended.values()),
                most_exposures=max(ended.values()),
                mean_exposures=ended.total() / len(ended),
            )
            for kind, ended in sorted(self._ended.items())
        }


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])


@contextmanager
def _writer(path: Path) -> Iterator[Any]:
    with needing("parquet", "a ledger"):
        from pyarrow.parquet import ParquetWriter
    with ParquetWriter(path, _schema(), compression="zstd") as writer:
        yield writer


def _tables(path: Path) -> Iterator[Any]:
    with needing("parquet", "a ledger"):
        from pyarrow.parquet import ParquetFile
    try:
        with ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)
    except (OSError, ValueError) as error:  # what pyarrow raises are kinds of these
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())}); {AGAIN}") from error


def _read_part(path: Path) -> Shard:
    return read_typed(path, Shard, "the ledger of a shard", AGAIN, version=None)
