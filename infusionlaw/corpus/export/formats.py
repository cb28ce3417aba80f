"""The formats that a corpus is written in: of tokens or of text, a file or a few a shard.

| name       | a shard                  | who reads it                                                      |
|------------|--------------------------|-------------------------------------------------------------------|
| `megatron` | NAME.bin, NAME.idx       | Megatron-core's indexed dataset, and what is built on it          |
| `tokens`   | NAME.bin                 | llm.c, modded-nanogpt: 256 words of head, then tokens without end |
| `parquet`  | NAME.parquet             | datasets, nanochat, pyarrow: a row a document                     |
| `jsonl`    | NAME.jsonl.zst           | nearly everything: a line a document                              |
| `mds`      | the folder NAME          | mosaicml-streaming, llm-foundry: a row a document                 |
| `arrow`    | NAME.arrow               | datasets: the tokens of a document a row                          |

The first four are ours, the last two are written by the libraries they belong to. Others come as entry points of the
group `infusionlaw.formats`: a class that has what `Format` says.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infusionlaw.corpus.export.insert_rows import Rows
from infusionlaw.corpus.export.ledger import Unit
from infusionlaw.corpus.export.megatron import bin_path, dtype_for, idx_path, open_indexed, writing
from infusionlaw.corpus.export.source import Documents
from infusionlaw.errors import InputError, nearest, needing
from infusionlaw.files import atomic_path

GROUP = 16_000_000  # characters of text that are one row group of Parquet
SEVERAL = 1 << 16  # documents that are read at a time
FLAT = {2: (20240520, 1), 4: (20240801, 7)}  # by bytes of a token, the mark and version that llm.c gives its files
HEAD = 256  # words of 4 bytes before the tokens of such a file


# Content of documents as it is read again: its bytes, and of each document its tokens, or bytes of text. No sizes: the
# format does not say where documents end.
Content = tuple[Any, NDArray[np.int64] | None]


class Format(Protocol):
    """How shards are written and read again."""

    unit: Unit  # "tokens": it takes tokens; "bytes": text

    def dtype(self, vocabulary: int) -> np.dtype[Any]:
        """Return the kind of its tokens."""

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        """Write a shard, from a path without an ending, and return its files; they get their names once complete."""

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        """Yield what a shard holds, in its order."""


class Megatron:
    """Megatron-core's indexed dataset: a document is one sequence."""

    unit: Unit = "tokens"

    def dtype(self, vocabulary: int) -> np.dtype[Any]:
        return dtype_for(vocabulary)

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        with writing(shard, dtype) as writer:
            for some in documents:
                writer.extend(
                    some.tokens.tobytes(), some.sizes.astype(np.int32), np.ones(len(some.sizes), dtype=np.int32)
                )
        return bin_path(shard), idx_path(shard)

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        found, at = open_indexed(shard), 0
        for first in range(0, found.documents, SEVERAL):
            bounds = found.bounds(first, min(found.documents, first + SEVERAL))
            before = np.concatenate([[0], np.cumsum(found.lengths(int(bounds[0]), int(bounds[-1])), dtype=np.int64)])
            ends = before[bounds - bounds[0]]
            yield found.tokens[at : at + int(ends[-1])], np.diff(ends)
            at += int(ends[-1])


class Flat:
    """Tokens one after another, behind the head that llm.c gives its files."""

    unit: Unit = "tokens"

    def dtype(self, vocabulary: int) -> np.dtype[Any]:
        return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        path, head = shard.with_name(f"{shard.name}.bin"), np.zeros(HEAD, dtype="<i4")
        head[:2] = FLAT[dtype.itemsize]
        with atomic_path(path) as part, part.open("wb") as file:
            file.write(head.data)
            for some in documents:
                file.write(some.tokens.data)
                head[2] += len(some.tokens)
            file.seek(0)
            file.write(head.data)
        return (path,)

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        path = shard.with_name(f"{shard.name}.bin")
        head = np.fromfile(path, dtype="<i4", count=HEAD)
        tokens = np.memmap(path, dtype=dtype, mode="r", offset=head.nbytes)
        if len(head) < HEAD or tuple(head[:2]) != FLAT[dtype.itemsize] or head[2] != len(tokens):
            raise InputError(f"{path}: its head is not that of {len(tokens):,} tokens")
        yield tokens, None


class _Text:
    """What formats of text have in common."""

    unit: Unit = "bytes"

    def dtype(self, vocabulary: int) -> np.dtype[Any]:
        return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


class Parquet(_Text):
    """A row a document: text, source, id, whole."""

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        with needing("parquet", "the format parquet"):
            import pyarrow as pa
            from pyarrow.parquet import ParquetWriter
        path = shard.with_name(f"{shard.name}.parquet")
        schema = pa.schema([("text", "string"), ("source", "string"), ("id", "string"), ("whole", "bool")])
        waiting: list[Any] = []
        size = 0
        with atomic_path(path) as part, ParquetWriter(part, schema, compression="zstd") as writer:
            for some in documents:
                columns = [some.texts, some.sources, some.ids, some.whole]
                arrays = [pa.array(own, kind.type) for own, kind in zip(columns, schema, strict=True)]
                waiting.append(pa.table(arrays, schema=schema))
                size += sum(map(len, some.texts))
                if size >= GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting, size = [], 0
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        return (path,)

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        with needing("parquet", "the format parquet"):
            from pyarrow.parquet import ParquetFile
        with ParquetFile(shard.with_name(f"{shard.name}.parquet")) as file:
            for batch in file.iter_batches(1024, columns=["text"]):
                yield _content(batch.column("text").to_pylist())


class Jsonl(_Text):
    """A line a document, packed with Zstandard."""

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        with needing("parquet", "the format jsonl"):
            from pyarrow import CompressedOutputStream
        path = shard.with_name(f"{shard.name}.jsonl.zst")
        with atomic_path(path) as part, CompressedOutputStream(str(part), "zstd") as file:
            for some in documents:
                lines = [
                    json.dumps({"text": text, "source": source, "id": id_, "whole": whole}, ensure_ascii=False)
                    for text, source, id_, whole in _rows(some)
                ]
                file.write("".join(f"{line}\n" for line in lines).encode())
        return (path,)

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        with needing("parquet", "the format jsonl"):
            from pyarrow import input_stream
        left = b""
        with input_stream(str(shard.with_name(f"{shard.name}.jsonl.zst")), compression="zstd") as file:
            while data := file.read(1 << 20):
                *lines, left = (left + data).split(b"\n")
                if lines:
                    yield _content([json.loads(line)["text"] for line in lines])


class Mds(_Text):
    """A folder of MosaicML's shards, written by their library."""

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        with needing("mds", "the format mds"):
            from streaming import MDSWriter
        part = shard.with_name(f".{shard.name}.part")
        for old in (part, shard):
            shutil.rmtree(old, ignore_errors=True)
        columns = {"text": "str", "source": "str", "id": "str", "whole": "uint8"}
        with MDSWriter(out=str(part), columns=columns) as writer:
            for some in documents:
                for row in _rows(some):
                    writer.write(dict(zip(columns, row, strict=True)))
        part.rename(shard)
        return sorted(path for path in shard.iterdir() if path.is_file())

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        with needing("mds", "the format mds"):
            from streaming.base.format import reader_from_json
        for head in json.loads((shard / "index.json").read_text())["shards"]:
            rows = reader_from_json(str(shard), None, head)
            for first in range(0, rows.size, 1024):
                yield _content([rows[row]["text"] for row in range(first, min(rows.size, first + 1024))])


class Arrow:
    """A row of tokens a document, as datasets keeps it, written by their library."""

    unit: Unit = "tokens"

    def dtype(self, vocabulary: int) -> np.dtype[Any]:
        return np.dtype("<i4")

    def write(self, shard: Path, documents: Iterable[Documents], dtype: np.dtype[Any]) -> Sequence[Path]:
        with needing("arrow", "the format arrow"):
            import pyarrow as pa
            from datasets import Features, List, Value
            from datasets.arrow_writer import ArrowWriter
        path = shard.with_name(f"{shard.name}.arrow")
        text = Value("string")
        features = Features({"input_ids": List(Value("int32")), "source": text, "id": text, "whole": Value("bool")})
        with atomic_path(path) as part, ArrowWriter(path=str(part), features=features) as writer:
            for some in documents:
                ends = np.concatenate([[0], np.cumsum(some.sizes)]).astype(np.int32)
                ids = pa.ListArray.from_arrays(pa.array(ends), pa.array(some.tokens))
                columns = [ids, pa.array(some.sources), pa.array(some.ids), pa.array(some.whole, "bool")]
                writer.write_table(pa.table(columns, names=list(features)))
            writer.finalize()
        return (path,)

    def read(self, shard: Path, dtype: np.dtype[Any]) -> Iterator[Content]:
        with needing("arrow", "the format arrow"):
            from pyarrow import ipc, memory_map
        with memory_map(str(shard.with_name(f"{shard.name}.arrow"))) as file, ipc.open_stream(file) as stream:
            for batch in stream:
                ids = batch.column("input_ids")
                yield ids.flatten().to_numpy(), np.asarray(ids.value_lengths()).astype(np.int64)


KNOWN: dict[str, Callable[[], Format]] = {
    "megatron": Megatron,
    "tokens": Flat,
    "parquet": Parquet,
    "jsonl": Jsonl,
    "mds": Mds,
    "arrow": Arrow,
}


def format_named(name: str) -> Format:
    """Return a format by its name; InputError where there is none of it."""
    others = {entry.name: entry for entry in entry_points(group="infusionlaw.formats")}
    if name in KNOWN:
        return KNOWN[name]()
    if name not in others:
        raise InputError(f'no format is named "{name}"; {nearest(name, {*KNOWN, *others})}')
    found: Format = others[name].load()()
    return found


def reader_of(name: str) -> Callable[[Path, np.dtype[Any]], Iterator[Content]]:
    """Return what reads the shards of a ledger's format: one of these, or files of rows that were inserted into."""
    return Rows(name.removeprefix(Rows.mark)).read if name.startswith(Rows.mark) else format_named(name).read


def _rows(some: Documents) -> Iterator[tuple[str, str, str, bool]]:
    return zip(some.texts, some.sources, some.ids, map(bool, some.whole), strict=True)


def _content(texts: Sequence[str]) -> Content:
    data = [text.encode() for text in texts]
    return b"".join(data), np.fromiter(map(len, data), dtype=np.int64, count=len(data))
