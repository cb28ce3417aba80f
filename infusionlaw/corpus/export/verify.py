"""Recount a corpus that was written from its bytes, with nothing but its ledger, and name the first difference.

Three things hold the bytes: the SHA-256 of every insertion where the ledger says it is, a sum of every BLOCK bytes of
content, and the SHA-256 of every file.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.export.formats import reader_of
from infusionlaw.corpus.export.ledger import (
    BLOCK,
    COLUMNS,
    LEDGER,
    ROWS,
    SUMS,
    Counts,
    Ledger,
    Shard,
    Sums,
    read_ledger,
    rows_of,
    share_of,
    share_of_bytes,
)
from infusionlaw.errors import InputError
from infusionlaw.files import file_hash


def is_written(folder: Path) -> bool:
    """Whether a folder holds a corpus that was written here."""
    return (folder / LEDGER).is_file() and (folder / ROWS).is_file()


def check(folder: Path) -> Ledger:
    """Return the ledger of a corpus whose bytes are as it says; InputError that names the first difference."""
    ledger, counts = read_ledger(folder), Counts()
    every, rows = _sums(folder), _by_shard(folder, read_ledger(folder), counts)
    before = 0
    for shard, own in zip(ledger.shards, rows, strict=True):
        blocks = -(-shard.bytes // BLOCK)
        _check_shard(folder, ledger, shard, own, every[before : before + blocks])
        before += blocks
    tokens, documents = (sum(getattr(shard, name) for shard in ledger.shards) for name in ("tokens", "documents"))
    kinds = counts.by_kind()
    if (tokens, documents, kinds, share_of(kinds, tokens), share_of_bytes(kinds, ledger.shards)) != (
        ledger.tokens,
        ledger.documents,
        ledger.kinds,
        ledger.share,
        ledger.share_of_bytes,
    ):
        raise InputError(f"{folder / LEDGER}: its counts are not those of its shards and of {ROWS}")
    return ledger


def _sums(folder: Path) -> NDArray[np.uint32]:
    try:
        found: NDArray[np.uint32] = np.load(folder / SUMS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / SUMS}: cannot be read ({error})") from error
    return found


def _by_shard(folder: Path, ledger: Ledger, counts: Counts) -> Iterator[Any]:
    """Yield the rows of each shard as a table, and count them."""
    import pyarrow as pa

    tables, waiting = rows_of(folder), pa.table({name: [] for name in COLUMNS})
    for shard in ledger.shards:
        while len(waiting) < shard.insertions and (table := next(tables, None)) is not None:
            counts.add(table)
            waiting = pa.concat_tables([waiting, table], promote_options="permissive")
        own, waiting = waiting.slice(0, shard.insertions), waiting.slice(shard.insertions)
        if len(own) < shard.insertions or any(name != shard.name for name in own["shard"].unique().to_pylist()):
            raise InputError(
                f"{folder / ROWS}: its rows of {shard.name} are not the {shard.insertions:,} that were written"
            )
        yield own
    if len(waiting) or next(tables, None) is not None:
        raise InputError(f"{folder / ROWS}: has rows of no shard in {LEDGER}")


def _check_shard(folder: Path, ledger: Ledger, shard: Shard, rows: Any, expected: NDArray[np.uint32]) -> None:
    """Raise InputError at the first difference of a shard."""
    for name in shard.files:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: is missing")
    reading = _Reading(ledger, shard, rows, expected)
    try:
        for data, sizes in reader_of(ledger.format)(folder / shard.name, np.dtype(ledger.dtype)):
            reading.take(data, sizes)
    except InputError:
        raise
    except Exception as error:  # the libraries of formats raise many kinds
        why = " ".join(str(error).split())
        names = " or ".join(str(folder / name) for name in shard.files)
        raise InputError(f"{names}: cannot be read behind document {reading.documents:,} ({why})") from error
    reading.close()
    for name, was in shard.files.items():
        if (found := file_hash(folder / name)) != was:
            raise InputError(
                f"{folder / name}: its documents are as they were written, but its SHA-256 is {found[:12]} and was "
                f"{was[:12]}"
            )


class _Reading:
    """A shard while it is read: how far, and what is expected of the rest."""

    def __init__(self, ledger: Ledger, shard: Shard, rows: Any, expected: NDArray[np.uint32]) -> None:
        self.shard, self.rows, self.expected = shard, rows, expected
        self.unit = 1 if ledger.unit == "bytes" else np.dtype(ledger.dtype).itemsize  # bytes
        self.is_text = ledger.unit == "bytes"
        self.document, self.offset, self.bytes = (
            rows[name].to_numpy() if len(rows) else np.empty(0, dtype=np.int64)
            for name in ("document", "offset", "bytes")
        )
        self.row = self.documents = self.begin = 0
        self.ends: NDArray[np.int64] | None = None
        self.sums = Sums()

    def take(self, data: Any, sizes: NDArray[np.int64] | None) -> None:
        """Hold the next documents against the ledger. sizes: of each in its unit; None: the format does not say."""
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        self.begin, known = self.sums.bytes, len(self.sums.whole)
        self.ends = None if sizes is None else np.cumsum(sizes) * self.unit
        self.sums.add(data)
        found = np.array(self.sums.whole[known:], dtype=np.uint32)
        expected = self.expected[known : known + len(found)]
        wrong = np.flatnonzero(found[: len(expected)] != expected)
        block = known + int(wrong[0]) if len(wrong) else None
        self._check_rows(view, None if block is None else (block + 1) * BLOCK - self.begin)
        if block is not None:
            raise self._difference(block)
        self.documents += 0 if sizes is None else len(sizes)

    def close(self) -> None:
        """Check what the whole shard must have."""
        documents = self.shard.documents if self.ends is None else self.documents
        if (self.sums.bytes, documents) != (self.shard.bytes, self.shard.documents) or self.row < len(self.rows):
            raise InputError(
                f"{self.shard.name}: ends behind document {documents:,} with {self.sums.bytes:,} bytes of content, and "
                f"had {self.shard.documents:,} documents with {self.shard.bytes:,} bytes"
            )
        if not np.array_equal(self.sums.all(), self.expected):
            self.documents -= 0 if self.ends is None else len(self.ends)
            raise self._difference(len(self.expected) - 1)

    def _check_rows(self, view: memoryview, limit: int | None) -> None:
        """Check the insertions in these documents; up to a byte where their content is wrong."""
        last = len(self.rows)
        if self.ends is not None:
            last = int(np.searchsorted(self.document, self.documents + len(self.ends)))
        if last == self.row:
            return
        own = self.document[self.row : last] - self.documents
        starts = self.offset[self.row : last] * self.unit - (0 if self.is_text else self.begin)
        inside = np.ones(len(own), dtype=np.bool_)
        if self.ends is not None:
            firsts = np.concatenate([[0], self.ends[:-1]])[own]
            starts = starts + firsts if self.is_text else starts
            inside = (firsts <= starts) & (starts + self.bytes[self.row : last] <= self.ends[own])
        digests = self.rows["sha256"].slice(self.row, last - self.row).to_pylist()
        spans = zip(
            starts.tolist(), (starts + self.bytes[self.row : last]).tolist(), inside.tolist(), digests, strict=True
        )
        for row, (first, end, is_inside, digest) in enumerate(spans, start=self.row):
            if limit is not None and first >= limit:
                break
            if not is_inside or hashlib.sha256(view[first:end]).hexdigest() != digest:
                was = self.rows.slice(row, 1).to_pylist()[0]
                of = f" of {was['file']}" if was["file"] else ""
                raise InputError(
                    f"{self.shard.name}, document {was['document']:,}, offset {was['offset']:,}: is not the "
                    f'{was["kind"]} "{was["id"]}"{of} (exposure {was["exposure"]}) that was inserted there'
                )
        self.row = last

    def _difference(self, block: int) -> InputError:
        """Say where a block of content is that is not what was written."""
        at = max(block * BLOCK, self.begin)
        place = f"{self.shard.name}, "
        if self.ends is not None:
            number = int(np.searchsorted(self.ends, at - self.begin, side="right"))
            place += f"document {self.documents + number:,}, "
            at -= (self.begin + int(self.ends[number - 1]) * (number > 0)) if self.is_text else 0
        size = (BLOCK - (block * BLOCK < self.begin) * (self.begin - block * BLOCK)) // self.unit
        unit = "bytes" if self.is_text else "tokens"
        return InputError(f"{place}offset {at // self.unit:,}: among the {size:,} {unit} from here on, some are others")
