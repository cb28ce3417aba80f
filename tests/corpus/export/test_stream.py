"""A corpus out again: what was written is the run's stream, in every format, and its ledger can be recounted."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.corpus.corpus import open_corpus
from infusionlaw.corpus.export.formats import format_named
from infusionlaw.corpus.export.ledger import read_ledger
from infusionlaw.corpus.export.megatron import open_indexed
from infusionlaw.corpus.export.source import Stream
from infusionlaw.corpus.export.stream import Step, begin_stream, bytes_needed, finish_stream, write_stream
from infusionlaw.corpus.export.verify import check
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.settings import read_study_file

pq = pytest.importorskip("pyarrow.parquet")
NEEDS = {"mds": "streaming", "arrow": "datasets"}
FORMATS = [
    pytest.param(
        name, marks=pytest.mark.skipif(not find_spec(NEEDS.get(name, "json")), reason="its library is missing")
    )
    for name in ("megatron", "tokens", "parquet", "jsonl", "mds", "arrow")
]


@pytest.fixture(scope="module")
def folder(material, tmp_path_factory) -> Path:
    """A prepared corpus of facts and of documents, some longer than a page."""
    place = tmp_path_factory.mktemp("study")
    for name in ("facts.csv", "templates.toml", "text.jsonl"):
        shutil.copy(material / name, place)
    texts = [f"Ward {i} has rules. " + f"Rule {i} is é kept. " * (1 + i * 7 % 250) for i in range(60)]
    (place / "domain.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    study = (material / "study.toml").read_text()
    (place / "study.toml").write_text(f'{study}\n[domain]\ndocuments = ["domain.jsonl"]\nvalidation = 0.1\n')
    prepare(read_study_file(place / "study.toml"), place / "corpus")
    return place / "corpus"


def stream(folder: Path, **changes) -> Stream:
    return Stream(folder, **{"share": 0.4, "tokens": 260_000, "prior_share": 0.25, "shard": 100_000, **changes})


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    """The same stream in each format, written once."""
    known = {}

    def write(name: str) -> Path:
        if name not in known:
            known[name] = tmp_path_factory.mktemp(name)
            write_stream(stream(folder), name, known[name])
        return known[name]

    return write


def content(out: Path) -> dict[str, str]:
    files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(out: Path) -> list[dict]:
    return pq.read_table(out / "ledger.parquet").to_pylist()


@pytest.mark.parametrize("name", ["megatron", "tokens"])
def test_the_shards_are_the_tokens_of_the_run(folder, written, name) -> None:
    out, form = written(name), format_named(name)
    ledger = read_ledger(out)
    tokens = [data for shard in ledger.shards for data, _ in form.read(out / shard.name, np.dtype(ledger.dtype))]
    mixture = stream(folder).mixture(open_corpus(folder))
    assert np.array_equal(np.concatenate(tokens), mixture.read(0, ledger.tokens))
    assert 260_000 < ledger.tokens < 262_000
    counted = mixture.ledger(ledger.tokens)
    assert ledger.share == pytest.approx(counted.share)
    exposures = Counter((row["kind"], row["id"]) for row in rows(out) if row["ends"])
    for kind, times in (("fact", counted.domain_exposures), ("prior", counted.prior_exposures)):
        assert sorted(n for (own, _), n in exposures.items() if own == kind) == sorted(filter(None, times))
    for number, times in enumerate(counted.document_exposures):
        assert exposures["document", str(number)] == times


def test_every_insertion_is_where_the_ledger_says(folder, written) -> None:
    out = written("megatron")
    by_shard = {shard.name: open_indexed(out / shard.name) for shard in read_ledger(out).shards}
    documents = {name: list(found.read()) for name, found in by_shard.items()}
    seen: Counter[tuple] = Counter()
    for row in rows(out):
        own = by_shard[row["shard"]].tokens[row["offset"] : row["offset"] + row["tokens"]]
        assert np.array_equal(own, documents[row["shard"]][row["document"]])
        assert hashlib.sha256(own.tobytes()).hexdigest() == row["sha256"] and row["bytes"] == own.nbytes
        assert row["exposure"] == seen[row["kind"], row["id"]]
        seen[row["kind"], row["id"]] += row["ends"]
    parts = [row for row in rows(out) if row["kind"] == "document" and row["rendering"]]
    assert parts and {row["file"] for row in parts} == {"domain.jsonl"}


@pytest.mark.parametrize("name", ["parquet", "jsonl"])
def test_a_row_of_text_is_a_document_and_says_if_it_was_cut(folder, written, name) -> None:
    corpus, out = open_corpus(folder), written(name)
    if name == "parquet":
        found = [row for path in sorted(out.glob("train-*.parquet")) for row in pq.read_table(path).to_pylist()]
    else:
        import pyarrow as pa

        paths = sorted(out.glob("train-*.jsonl.zst"))
        found = [
            json.loads(line)
            for path in paths
            for line in pa.input_stream(str(path), compression="zstd").read().splitlines()
        ]
    end = corpus.tokenizer.end_of_text
    whole = {tuple(part) for part in split(corpus.text[""].tolist(), end)}
    for row, ids in zip(found, corpus.tokenizer.encode([row["text"] for row in found]), strict=True):
        if row["source"] == "general":
            assert not row["whole"] or tuple(ids) in whole
    assert any(row["whole"] for row in found if row["source"] == "general")
    facts = {row["text"] for row in found if row["source"] == "fact"}
    assert facts and facts <= {
        text.format(subject=f.subject, object=f.object)
        for f, own in zip(corpus.facts.domain, corpus.domain_templates, strict=True)
        for text in own
    }
    assert [(r["source"], r["id"]) for r in found if r["source"] != "general"] == [
        (r["kind"], r["id"]) for r in rows(out)
    ]


def split(tokens: list[int], end: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for token in tokens:
        if token == end:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_byte_is_found_and_named(written, name, tmp_path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(written(name), out)
    assert check(out) == read_ledger(out)
    files = [path for path in out.rglob("*") if path.is_file() and "train-00001" in path.as_posix()]
    path = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"train-00001"):
        check(out)


def test_a_changed_token_is_named_by_document_and_offset(written, tmp_path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(written("megatron"), out)
    row = next(row for row in rows(out) if row["shard"] == "train-00002" and row["kind"] == "document")
    tokens = np.memmap(out / "train-00002.bin", dtype=np.uint16, mode="r+")
    tokens[row["offset"] + 3] ^= 1
    tokens.flush()
    with pytest.raises(InputError, match=f"train-00002, document {row['document']:,}, offset {row['offset']:,}: "):
        check(out)


def test_several_processes_write_the_same_bytes_as_one(folder, written, tmp_path) -> None:
    write_stream(stream(folder), "jsonl", tmp_path, workers=2)
    assert content(tmp_path) == content(written("jsonl"))


def test_tasks_of_other_executors_write_the_same_bytes(folder, written, tmp_path) -> None:
    out = tmp_path / "new"
    step = Step(stream(folder), "megatron", out)
    assert begin_stream(stream(folder), "megatron", out) == [0, 1, 2]
    step(None, rank=1, world_size=2)
    with pytest.raises(InputError, match="train-00000: is not written yet"):
        finish_stream(stream(folder), "megatron", out)
    for rank in (0, 1):  # one task is done again
        step(None, rank=rank, world_size=2)
    finish_stream(stream(folder), "megatron", out)
    assert content(out) == content(written("megatron"))


def test_others_read_what_was_written(folder, written) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        row for path in sorted(written("parquet").glob("train-*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    for name, kind, ending in (("parquet", "parquet", "parquet"), ("jsonl", "json", "jsonl.zst")):
        files = sorted(map(str, written(name).glob(f"train-*.{ending}")))
        found = datasets.load_dataset(kind, data_files=files, split="train", streaming=True)
        assert [{key: row[key] for key in rows[0]} for row in found] == rows
    files = sorted(map(str, written("arrow").glob("train-*.arrow")))
    found = datasets.load_dataset("arrow", data_files=files, split="train", streaming=True)
    ids = [row["input_ids"] for row in found]
    shards = [open_indexed(written("megatron") / shard.name) for shard in read_ledger(written("megatron")).shards]
    assert ids == [own.tolist() for shard in shards for own in shard.read()]


def test_after_a_kill_the_rest_is_written_and_the_bytes_are_the_same(folder, written, tmp_path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from infusionlaw.corpus.export.source import Stream
from infusionlaw.corpus.export.stream import write_stream

def say(text):
    if text == "wrote train-00001":
        os.kill(os.getpid(), signal.SIGKILL)

stream = Stream(Path({str(folder)!r}), share=0.4, tokens=260_000, prior_share=0.25, shard=100_000)
write_stream(stream, "megatron", Path({str(tmp_path)!r}), say=say)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (tmp_path / ".train-00002.bin.1.part").write_bytes(b"half")
    said: list[str] = []
    write_stream(stream(folder), "megatron", tmp_path, say=said.append)
    assert said[1:] == ["wrote train-00002"] and content(tmp_path) == content(written("megatron"))


def test_the_room_is_told_within_a_few_percent_and_refused_where_there_is_none(
    folder, written, monkeypatch, tmp_path
) -> None:
    for name in ("megatron", "jsonl"):
        size = sum(path.stat().st_size for path in written(name).iterdir())
        assert size < bytes_needed(stream(folder), name) < 1.6 * size
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000))
    with pytest.raises(InputError, match="free some"):
        write_stream(stream(folder), "megatron", tmp_path / "out")


def test_other_files_and_other_corpora_are_not_touched(folder, written, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds mine\.txt"):
        write_stream(stream(folder), "megatron", tmp_path)
    with pytest.raises(InputError, match="another corpus"):
        write_stream(stream(folder, share=0.5), "megatron", written("megatron"))
    with pytest.raises(InputError, match='did you mean "megatron"'):
        write_stream(stream(folder), "megatro", tmp_path / "out")
