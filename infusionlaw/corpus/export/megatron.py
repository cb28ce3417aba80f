"""Read and write Megatron-core's indexed datasets: `NAME.bin` has the tokens, `NAME.idx` says where each part begins.

The index, little-endian and unaligned:

    9 bytes    MMIDIDX, 0, 0        the file's mark
    uint64     1                    its version
    uint8      code                 what a token is (CODES)
    uint64     S                    sequences
    uint64     D + 1                documents, and one
    int32      lengths (S,)         tokens of each sequence
    int64      pointers (S,)        where each sequence begins in the .bin, in bytes
    int64      bounds (D + 1,)      the sequence each document begins with, and S
    int8       modes (S,)           only where a dataset has images beside text

A document has any number of sequences, usually one. Nothing here holds a file in memory: parts of it are read when they
are asked for, and what is written is written as it comes.
"""

import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infusionlaw.errors import InputError
from infusionlaw.files import atomic_path

MARK = b"MMIDIDX\x00\x00"
CODES = {
    code: np.dtype(name).newbyteorder("<")
    for code, name in enumerate(("u1", "i1", "i2", "i4", "i8", "f8", "f4", "u2"), start=1)
}
_HEAD = struct.Struct("<9sQBQQ")
_SEVERAL = 1 << 20  # entries of an index that are made or read at a time


def prefix_of(path: Path) -> Path:
    """Return what the two files of a dataset are called without their endings."""
    return path.with_suffix("") if path.suffix in (".bin", ".idx") else path


def bin_path(path: Path) -> Path:
    """Return the file of the tokens."""
    return Path(f"{prefix_of(path)}.bin")


def idx_path(path: Path) -> Path:
    """Return the file of the index."""
    return Path(f"{prefix_of(path)}.idx")


def dtype_for(vocabulary: int) -> np.dtype[Any]:
    """Return the kind of token that Megatron's own tool writes for a vocabulary of this size."""
    return CODES[8] if vocabulary < 65_500 else CODES[4]


@dataclass(frozen=True)
class Indexed:
    """A dataset, opened. `sequences` and `documents` count; `modes` says whether it has images beside text."""

    prefix: Path
    dtype: np.dtype[Any]
    sequences: int
    documents: int
    modes: bool

    @cached_property
    def tokens(self) -> NDArray[Any]:
        """All tokens, mapped."""
        path = bin_path(self.prefix)
        if not path.stat().st_size:  # an empty file cannot be mapped
            return np.empty(0, dtype=self.dtype)
        return np.memmap(path, dtype=self.dtype, mode="r")

    @property
    def count(self) -> int:
        """How many tokens the file holds."""
        return bin_path(self.prefix).stat().st_size // self.dtype.itemsize

    def lengths(self, first: int = 0, last: int | None = None) -> NDArray[np.int32]:
        """Return the tokens of sequences `first` to `last` - 1."""
        return self._part("<i4", _HEAD.size, first, self.sequences if last is None else last)

    def pointers(self, first: int = 0, last: int | None = None) -> NDArray[np.int64]:
        """Return where sequences `first` to `last` - 1 begin in the .bin, in bytes."""
        return self._part("<i8", _HEAD.size + 4 * self.sequences, first, self.sequences if last is None else last)

    def bounds(self, first: int = 0, last: int | None = None) -> NDArray[np.int64]:
        """Return the sequence that each of documents `first` to `last` - 1 begins with, and the one after them."""
        end = self.documents if last is None else last
        return self._part("<i8", _HEAD.size + 12 * self.sequences, first, end + 1)

    def document(self, number: int) -> NDArray[Any]:
        """Return the tokens of a document, read from the file."""
        first, last = self.bounds(number, number + 1).tolist()
        if first == last:
            return np.empty(0, dtype=self.dtype)
        size, at = int(self.lengths(first, last).sum()), int(self.pointers(first, first + 1)[0])
        return np.fromfile(bin_path(self.prefix), dtype=self.dtype, count=size, offset=at)

    def read(self, first: int = 0, last: int | None = None) -> Iterator[NDArray[Any]]:
        """Give the tokens of documents `first` to `last` - 1, one after another, as views of the file."""
        end = self.documents if last is None else last
        for here in range(first, end, _SEVERAL):
            bounds = self.bounds(here, min(end, here + _SEVERAL))
            base, after = int(bounds[0]), int(bounds[-1])
            starts, lengths = self.pointers(base, after) // self.dtype.itemsize, self.lengths(base, after)
            for one, next_one in zip((bounds[:-1] - base).tolist(), (bounds[1:] - base).tolist(), strict=True):
                if one == next_one:
                    yield self.tokens[:0]
                else:
                    yield self.tokens[starts[one] : starts[next_one - 1] + lengths[next_one - 1]]

    def _part(self, kind: str, offset: int, first: int, last: int) -> NDArray[Any]:
        dtype = np.dtype(kind)
        with idx_path(self.prefix).open("rb") as file:
            return np.fromfile(file, dtype=dtype, count=last - first, offset=offset + first * dtype.itemsize)


def open_indexed(path: Path) -> Indexed:
    """Open the dataset of this name, with or without an ending; InputError where its files do not fit each other."""
    idx, tokens = idx_path(path), bin_path(path)
    for file in (idx, tokens):
        if not file.is_file():
            raise InputError(f"{file}: no such file; a Megatron dataset is a .bin and a .idx of one name")
    with idx.open("rb") as handle:
        head = handle.read(_HEAD.size)
    mark, version, code, sequences, bounds = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0, 0, 0)
    if mark != MARK or version != 1 or code not in CODES or not bounds:
        raise InputError(f"{idx}: not the index of a Megatron dataset (MMIDIDX, version 1); give another file")
    size, want = idx.stat().st_size, _HEAD.size + 12 * sequences + 8 * bounds
    if size not in (want, want + sequences):
        raise InputError(f"{idx}: has {size:,} bytes where its head says {want:,}; it was cut short, write it again")
    found = Indexed(prefix_of(path), CODES[code], sequences, bounds - 1, modes=size != want)
    last = found.bounds(found.documents, found.documents)
    ends = found.pointers(sequences - 1) + found.lengths(sequences - 1) * CODES[code].itemsize if sequences else [0]
    if last[0] != sequences:
        raise InputError(f"{idx}: its documents end at sequence {last[0]:,} of {sequences:,}; write it again")
    if ends[0] != tokens.stat().st_size:
        raise InputError(
            f"{tokens}: has {tokens.stat().st_size:,} bytes where its index ends at {ends[0]:,}; write both again"
        )
    return found


class Writer:
    """Writes a dataset as its documents come. Tokens go to the file; 8 bytes a document are kept for the index."""

    def __init__(self, file: BinaryIO, dtype: np.dtype[Any]) -> None:
        self._file, self.dtype = file, dtype
        self._lengths, self._per_document = array("i"), array("i")

    @property
    def documents(self) -> int:
        """How many documents are written."""
        return len(self._per_document)

    def add(self, tokens: ArrayLike, lengths: Sequence[int] | None = None) -> None:
        """Write a document. lengths: of its sequences; None: it is one."""
        own = self._fitted(np.asarray(tokens))
        parts = [own.size] if lengths is None else list(lengths)
        if sum(parts) != own.size:
            raise ValueError(f"sequences of {sum(parts)} tokens in a document of {own.size}")
        self._file.write(own.data)
        self._lengths.extend(parts)
        self._per_document.append(len(parts))

    def extend(self, data: bytes | memoryview, lengths: NDArray[np.int32], per_document: NDArray[np.int32]) -> None:
        """Write many documents: their tokens as bytes, the tokens of each sequence, the sequences of each document."""
        self._file.write(data)
        self._lengths.frombytes(lengths.astype("=i4", copy=False).tobytes())
        self._per_document.frombytes(per_document.astype("=i4", copy=False).tobytes())

    def _fitted(self, tokens: NDArray[Any]) -> NDArray[Any]:
        fitted = np.ascontiguousarray(tokens, dtype=self.dtype)
        if tokens.dtype != self.dtype and not np.array_equal(fitted, tokens):
            raise InputError(f"token {tokens.max():,} is no {self.dtype.name}; write this corpus with int32 tokens")
        return fitted

    def write_index(self, file: BinaryIO) -> None:
        """Write the index of what was written so far."""
        code = next(code for code, dtype in CODES.items() if dtype == self.dtype)
        lengths = np.frombuffer(self._lengths, dtype=np.intc)
        per_document = np.frombuffer(self._per_document, dtype=np.intc)
        file.write(_HEAD.pack(MARK, 1, code, len(lengths), len(per_document) + 1))
        file.write(lengths.astype("<i4").data)
        for part in _before(lengths, self.dtype.itemsize):
            file.write(part.data)
        for part in _before(per_document, 1):
            file.write(part.data)
        file.write(np.array([len(lengths)], dtype="<i8").data)


def _before(sizes: NDArray[np.intc], unit: int) -> Iterator[NDArray[np.int64]]:
    """Give what lies before each of many sizes, in units, some at a time."""
    so_far = 0
    for first in range(0, len(sizes), _SEVERAL):
        ends = so_far + np.cumsum(sizes[first : first + _SEVERAL], dtype="<i8") * unit
        yield np.concatenate([[so_far], ends[:-1]]).astype("<i8")
        so_far = int(ends[-1])


@contextmanager
def writing(path: Path, dtype: np.dtype[Any]) -> Iterator[Writer]:
    """Give a writer of a dataset; its files take their names when the block ends well, the index last.

    So a dataset that has an index is whole.
    """
    if dtype not in CODES.values():
        known = ", ".join(sorted(kind.name for kind in CODES.values()))
        raise ValueError(f"{dtype} is no kind of token of Megatron's; known: {known}")
    with atomic_path(idx_path(path)) as index, atomic_path(bin_path(path)) as tokens:
        with tokens.open("wb") as file:
            writer = Writer(file, dtype)
            yield writer
        with index.open("wb") as file:
            writer.write_index(file)
            file.flush()
            os.fsync(file.fileno())
