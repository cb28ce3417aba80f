"""Megatron datasets, held against Megatron-core's own classes and against a small reader of the documented layout."""

import itertools
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infusionlaw.corpus.export import megatron
from infusionlaw.errors import InputError

END = 7
# kind of token · end of document · sequences a document · empty documents · shards
WAYS = list(
    itertools.product(("uint16", "int32"), ("ended", "open"), ("one", "several"), ("full", "empty"), ("1", "3 shards"))
)


def corpus(way):
    """Documents as lists of sequences, by shard, and the kind of token."""
    kind, ended, several, empty, shards = way
    rng = np.random.default_rng([len(part) for part in way])
    made = []
    for _ in range(3 if shards == "3 shards" else 1):
        documents = []
        for number in range(40):
            parts = [
                rng.integers(10, 60_000, size=rng.integers(1, 50)) for _ in range(3 if several == "several" else 1)
            ]
            if empty == "empty" and number % 5 == 0:
                parts = [np.empty(0, dtype=np.int64)]
            if ended == "ended":
                parts[-1] = np.append(parts[-1], END)
            documents.append(parts)
        made.append(documents)
    return made, np.dtype(kind)


def joined(parts):
    return [token for part in parts for token in part]


def write(folder, shards, dtype):
    for number, documents in enumerate(shards):
        with megatron.writing(folder / f"part.{number}", dtype) as writer:
            for parts in documents:
                writer.add(np.concatenate(parts), None if len(parts) == 1 else [len(part) for part in parts])


def parsed(prefix: Path):
    """Read a dataset by the layout alone: its kind, documents as lists of sequences."""
    raw, data = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").read_bytes()
    assert raw[:17] == b"MMIDIDX\x00\x00" + struct.pack("<Q", 1)
    code, sequences, bounds = struct.unpack_from("<BQQ", raw, 17)
    lengths = struct.unpack_from(f"<{sequences}i", raw, 34)
    pointers = struct.unpack_from(f"<{sequences}q", raw, 34 + 4 * sequences)
    ends = struct.unpack_from(f"<{bounds}q", raw, 34 + 12 * sequences)
    assert len(raw) == 34 + 12 * sequences + 8 * bounds
    dtype = np.dtype({4: "<i4", 8: "<u2"}[code])
    each = [np.frombuffer(data, dtype, n, at).tolist() for n, at in zip(lengths, pointers, strict=True)]
    return dtype, [each[a:b] for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_layout(way, tmp_path):
    shards, dtype = corpus(way)
    write(tmp_path, shards, dtype)
    for number, documents in enumerate(shards):
        kind, found = parsed(tmp_path / f"part.{number}")
        assert kind == dtype and found == [[part.tolist() for part in parts] for parts in documents]
        opened = megatron.open_indexed(tmp_path / f"part.{number}.bin")
        assert [own.tolist() for own in opened.read()] == [np.concatenate(parts).tolist() for parts in documents]
        assert opened.document(17).tolist() == np.concatenate(documents[17]).tolist()


@pytest.fixture(scope="module")
def oracle():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("megatron.core.datasets.indexed_dataset")


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_megatron_core(oracle, way, tmp_path):
    """Megatron-core reads what we wrote, and its own builder writes the same bytes; we read what it wrote."""
    import torch

    shards, dtype = corpus(way)
    write(tmp_path, shards, dtype)
    for number, documents in enumerate(shards):
        ours, theirs = tmp_path / f"part.{number}", tmp_path / f"theirs.{number}"
        builder = oracle.IndexedDatasetBuilder(f"{theirs}.bin", dtype=dtype.type)
        for parts in documents:
            builder.add_document(torch.tensor(np.concatenate(parts)), [len(part) for part in parts])
        builder.finalize(f"{theirs}.idx")
        for ending in ("bin", "idx"):
            assert Path(f"{ours}.{ending}").read_bytes() == Path(f"{theirs}.{ending}").read_bytes()
        read = oracle.IndexedDataset(str(ours), mmap=number % 2 == 0)
        sequences = [part.tolist() for parts in documents for part in parts]
        assert [read[i].tolist() for i in range(len(read))] == sequences
        assert read.document_indices.tolist() == megatron.open_indexed(theirs).bounds().tolist()


documents = st.lists(st.lists(st.lists(st.integers(0, 65_535), max_size=4), max_size=3), max_size=12)


@given(documents=documents, several=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_any_documents_come_back(tmp_path_factory, documents, several):
    """One by one and many at once write the same bytes, with documents of no sequence and parts of any size."""
    folder = tmp_path_factory.mktemp("any")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(megatron, "_SEVERAL", several)
        with megatron.writing(folder / "one", np.dtype("uint16")) as writer:
            for parts in documents:
                writer.add(joined(parts), [len(part) for part in parts])
        with megatron.writing(folder / "many", np.dtype("uint16")) as writer:
            flat = np.array([token for parts in documents for part in parts for token in part], dtype="<u2")
            lengths = np.array([len(part) for parts in documents for part in parts], dtype=np.int32)
            writer.extend(flat.tobytes(), lengths, np.array([len(parts) for parts in documents], dtype=np.int32))
        assert (folder / "one.idx").read_bytes() == (folder / "many.idx").read_bytes()
        assert parsed(folder / "one")[1] == documents
        opened = megatron.open_indexed(folder / "many.idx")
        assert [own.tolist() for own in opened.read()] == [joined(parts) for parts in documents]


def test_a_token_that_does_not_fit_is_refused(tmp_path):
    with (
        pytest.raises(InputError, match=r"token 65,536 is no uint16"),
        megatron.writing(tmp_path / "part", np.dtype("uint16")) as writer,
    ):
        writer.add(np.array([1, 65_536]))


def test_a_stop_leaves_no_dataset(tmp_path):
    with pytest.raises(RuntimeError), megatron.writing(tmp_path / "part", np.dtype("int32")) as writer:
        writer.add([1, 2, 3])
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: (f / "part.idx").write_bytes(b"MMIDIDX"), "not the index of a Megatron dataset"),
        (lambda f: (f / "part.idx").write_bytes((f / "part.idx").read_bytes()[:-8]), "cut short"),
        (lambda f: (f / "part.bin").write_bytes(b"123"), "has 3 bytes where its index ends at 12"),
        (lambda f: (f / "part.bin").unlink(), "no such file"),
    ],
)
def test_broken_datasets_are_refused(tmp_path, break_it, says):
    with megatron.writing(tmp_path / "part", np.dtype("int32")) as writer:
        writer.add([1, 2, 3])
    break_it(tmp_path)
    with pytest.raises(InputError, match=says):
        megatron.open_indexed(tmp_path / "part")
