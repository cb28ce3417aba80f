"""Insertion into a corpus that exists: what comes out, that it is the same however it is made, and the way back."""

import json
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infusionlaw.corpus.export import insert, insert_rows, insert_tokens, megatron
from infusionlaw.corpus.export.insert import infuse_into, plan_into, take_out
from infusionlaw.corpus.export.ledger import rows_of
from infusionlaw.corpus.export.placing import Dose
from infusionlaw.corpus.export.preview import layout, packing, preview_text, spread
from infusionlaw.corpus.export.verify import check
from infusionlaw.corpus.prepare import prepare
from infusionlaw.errors import InputError
from infusionlaw.files import file_hash
from infusionlaw.report.export import ledger_text
from infusionlaw.runs.packed import open_bytes
from infusionlaw.settings import read_study_file

MORE = '\n[domain]\ndocuments = "notes.jsonl"\nvalidation = 0.2\n'


@pytest.fixture(scope="module")
def infused(material, tmp_path_factory):
    """A prepared corpus of 8 domain facts in 3 renderings, and of domain documents."""
    folder = tmp_path_factory.mktemp("infused")
    for name in ("facts.csv", "templates.toml", "text.jsonl"):
        shutil.copy(material / name, folder / name)
    notes = [json.dumps({"text": f"Note {n}. " + "The patient was seen again. " * (n % 7 + 1)}) for n in range(30)]
    (folder / "notes.jsonl").write_text("\n".join(notes))
    (folder / "study.toml").write_text((material / "study.toml").read_text() + MORE)
    return prepare(read_study_file(folder / "study.toml"), folder / "corpus")


def write_corpus(folder: Path, end: int, dtype: str = "uint16", *, sequences: int = 1, empty: bool = True) -> None:
    """Three shards of documents of token numbers that no piece of the study holds in this order."""
    rng = np.random.default_rng(5)
    for shard, count in enumerate((300, 20, 150)):
        with megatron.writing(folder / f"part-{shard}", np.dtype(dtype)) as writer:
            for number in range(count):
                parts = [rng.integers(4, 500, size=rng.integers(1, 200)) for _ in range(sequences)]
                parts = [np.append(part, end) if end >= 0 else part for part in parts]
                if empty and number % 40 == 3:
                    parts = [part[:0] for part in parts]
                writer.add(np.concatenate(parts), [len(part) for part in parts])


def write_rows(folder: Path, kind: str) -> None:
    """Two files of rows with more than their text."""
    folder.mkdir(parents=True)
    for shard, count in enumerate((200, 90)):
        rows = [
            {"id": n, "body": f"Row {n} of {shard}: " + "äß word " * (n * 7 % 40), "score": n / 3 if n % 4 else None}
            for n in range(count)
        ]
        if kind == ".parquet":
            table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
            pq.write_table(table, folder / f"rows-{shard}.parquet", row_group_size=64, compression="snappy")
            continue
        lines = "\n".join(json.dumps(row) + "\n" * (row["id"] % 9 == 0) for row in rows)
        with insert_rows.packed(folder / f"rows-{shard}{kind}", kind.removeprefix(".jsonl")) as file:
            file.write(lines.encode())


def contents(folder: Path) -> dict[str, object]:
    """The rows of Parquet, the unpacked bytes of other files."""
    found: dict[str, object] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".parquet" and path.name.startswith("rows"):
            file = pq.ParquetFile(path)
            groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            found[path.name] = (file.schema_arrow, groups, file.read().to_pylist())
        elif path.name.startswith("rows"):
            with open_bytes(path) as stream:
                found[path.name] = stream.read()
    return found


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def columns(folder: Path) -> list[dict]:
    return [row for table in rows_of(folder) for row in table.to_pylist()]


WAYS = {
    "documents": {},
    "several sequences": {"sequences": 3},
    "int32": {"dtype": "int32"},
    "no end of document": {"end": -1},
    "inside": {"inside": True},
    "inside sequences": {"inside": True, "sequence": 256, "sequences": 2},
    "inside without end": {"inside": True, "sequence": 100, "end": -1, "dtype": "int32"},
}


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_out_is_counted_by_its_ledger_and_the_original_comes_back(infused, tmp_path, way, monkeypatch):
    """The bytes are recounted from the ledger alone; small blocks write the same bytes as large ones."""
    own = dict(WAYS[way])
    inside, sequence, end = (
        own.pop("inside", False),
        own.pop("sequence", 0),
        own.pop("end", infused.tokenizer.end_of_text),
    )
    write_corpus(tmp_path / "old", end, **own)
    before = hashes(tmp_path / "old")
    plan = plan_into(infused, f"{tmp_path}/old/*.bin", Dose(share=0.2), sequence=sequence, inside=inside)
    ledger = infuse_into(plan, tmp_path / "new", workers=1)

    assert ledger == check(tmp_path / "new")
    assert ledger.share == pytest.approx(plan.share) and plan.share == pytest.approx(0.2, abs=0.005)
    rows = columns(tmp_path / "new")
    for shard in ledger.shards:
        new = megatron.open_indexed(tmp_path / "new" / shard.name)
        starts = np.concatenate([new.pointers() // new.dtype.itemsize, [new.count]])[new.bounds()]
        for row in (row for row in rows if row["shard"] == shard.name):
            read = new.tokens[row["offset"] : row["offset"] + row["tokens"]]
            assert row["sha256"] == sha256(read.tobytes()).hexdigest()
            assert starts[row["document"]] <= row["offset"] < starts[row["document"] + 1]
            if not inside:
                assert new.document(row["document"]).tolist() == read.tolist()
            if sequence and row["tokens"] <= sequence and row["offset"] + row["tokens"] < new.count - 2 * sequence:
                assert row["offset"] // sequence == (row["offset"] + row["tokens"] - 1) // sequence
            text = infused.tokenizer.backend.decode(read.tolist(), skip_special_tokens=True)
            if row["kind"] == "fact":
                assert row["id"].removeprefix("colour: ") in text
    times = Counter((row["kind"], row["id"]) for row in rows)
    for kind, mean in zip(plan.kinds, plan.exposures, strict=True):
        assert {n for (of, _), n in times.items() if of == kind} <= {int(mean), int(mean) + 1}

    take_out(tmp_path / "new", tmp_path / "back")
    assert hashes(tmp_path / "back") == before == hashes(tmp_path / "old")

    monkeypatch.setattr(insert_tokens, "BLOCK", 1000)
    monkeypatch.setattr(insert_tokens, "WINDOW", 77)
    monkeypatch.setattr(insert_tokens, "_DOCUMENTS", 7)
    infuse_into(plan, tmp_path / "small", workers=1)
    small, large = hashes(tmp_path / "small"), hashes(tmp_path / "new")
    assert {name: own for name, own in small.items() if name.startswith("part")} == {
        name: own for name, own in large.items() if name.startswith("part")
    }


def test_tokens_of_rows_are_estimated_well_where_a_few_long_rows_have_most_of_the_text(infused, tmp_path, monkeypatch):
    monkeypatch.setattr(insert, "STRETCHES", 200)
    short, long = ["Plain words of a note." for _ in range(3000)], ["x = {1: [2, 3]}\n" * 1000 for _ in range(20)]
    mixed = [(short + long)[number] for number in np.random.default_rng(0).permutation(3020)]
    for name, texts in (("a", mixed), ("b", short)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    exact = sum(len(ids) + 1 for ids in infused.tokenizer.encode(mixed + short))
    plan = plan_into(infused, str(tmp_path / "*.jsonl"), Dose(share=0.02))
    assert abs(plan.size / exact - 1) < 0.01 and 0.005 < plan.error < 0.03
    ledger = infuse_into(plan, tmp_path / "new")
    inserted, size = sum(row["bytes"] for row in columns(tmp_path / "new")), sum(shard.bytes for shard in ledger.shards)
    assert ledger.share_of_bytes == inserted / size and size == plan.whole + inserted
    assert 0 < ledger.tokens_error < plan.error and "estimated" in ledger_text(ledger)


@pytest.mark.parametrize("kind", [".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_rows_are_inserted_between_rows_and_taken_out_again(infused, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(insert_rows, "BLOCK", 3000)
    write_rows(tmp_path / "old", kind)
    before, old = hashes(tmp_path / "old"), contents(tmp_path / "old")
    plan = plan_into(infused, f"{tmp_path}/old/*", Dose(exposures=3))
    ledger = infuse_into(plan, tmp_path / "new", workers=1)

    rows, tokenizer = columns(tmp_path / "new"), infused.tokenizer
    assert ledger == check(tmp_path / "new") and ledger.format == "rows:body"
    assert len(rows) == 3 * sum(plan.items) == sum(given.count for given in plan.given)
    for shard in ledger.shards:
        texts = b"".join(data for data, _ in insert_rows.Rows("body").read(tmp_path / "new" / shard.name, None))
        every = [
            len(text)
            for _, own in insert_rows.form_of(tmp_path / "new" / shard.name).blocks(
                tmp_path / "new" / shard.name, "body"
            )
            for text in own
        ]
        starts = np.concatenate([[0], np.cumsum(every)])
        for row in (row for row in rows if row["shard"] == shard.name):
            text = texts[starts[row["document"]] : starts[row["document"] + 1]]
            assert sha256(text).hexdigest() == row["sha256"]
            assert len(tokenizer.encode([text.decode()])[0]) + 1 == row["tokens"]
            assert text.startswith(b"Note ") if row["kind"] == "document" else b"flag" in text
    exact = sum(len(ids) + 1 for name in old for ids in tokenizer.encode(_texts(tmp_path / "old" / name)))
    assert plan.size == pytest.approx(exact, rel=0.1)
    given = np.array([row["document"] for row in rows if row["shard"] == ledger.shards[0].name])
    assert np.abs(given / ledger.shards[0].documents - (np.arange(len(given)) + 0.5) / len(given)).max() < 0.1

    take_out(tmp_path / "new", tmp_path / "back")
    assert contents(tmp_path / "back") == old and hashes(tmp_path / "old") == before
    if kind == ".jsonl":
        assert hashes(tmp_path / "back") == before


def _texts(path: Path) -> list[str]:
    return [text.decode() for _, own in insert_rows.form_of(path).blocks(path, "body") for text in own]


def test_workers_and_a_kill_make_no_difference(infused, tmp_path):
    """A process that is killed while it writes leaves no half of a shard, and the same command goes on."""
    write_corpus(tmp_path / "old", infused.tokenizer.end_of_text)
    plan = plan_into(infused, f"{tmp_path}/old/*.idx", Dose(share=0.3))
    infuse_into(plan, tmp_path / "one", workers=1)
    infuse_into(plan, tmp_path / "three", workers=3)
    assert hashes(tmp_path / "three") == hashes(tmp_path / "one")

    script = f"""
import os, pickle
from pathlib import Path
from infusionlaw.corpus.export import insert, insert_tokens
plan, index = pickle.loads({pickle.dumps(plan)!r}), insert_tokens.index_of
def killed(placing):
    if len(placing.block.starts) == 21:  # of the second shard
        os.kill(os.getpid(), 9)
    return index(placing)
insert_tokens.index_of = killed
insert.infuse_into(plan, Path({str(tmp_path / "killed")!r}), workers=1)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    first = tmp_path / "killed" / "part-0.bin"
    written = first.stat().st_mtime_ns
    assert not (tmp_path / "killed" / "part-1.bin").exists()
    infuse_into(plan, tmp_path / "killed", workers=1)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "one")
    assert first.stat().st_mtime_ns == written
    assert not list((tmp_path / "killed").glob(".*.part"))


def test_what_cannot_be_inserted_is_refused(infused, tmp_path):
    write_corpus(tmp_path / "old", infused.tokenizer.end_of_text)
    with pytest.raises(InputError, match="names no shards"):
        plan_into(infused, f"{tmp_path}/none/*.bin", Dose(share=0.1))
    with pytest.raises(InputError, match="give one of the two"):
        Dose()
    write_corpus(tmp_path / "other", 3)
    with pytest.raises(InputError, match="documents end with token 3, and the end of text"):
        plan_into(infused, f"{tmp_path}/other/*.bin", Dose(share=0.1))
    plan = plan_into(infused, f"{tmp_path}/old/*.bin", Dose(share=0.1))
    infuse_into(plan, tmp_path / "new", workers=1)
    with pytest.raises(InputError, match="holds another corpus"):
        infuse_into(plan_into(infused, f"{tmp_path}/old/*.bin", Dose(share=0.2)), tmp_path / "new")
    with pytest.raises(InputError, match="holds part-0"):
        infuse_into(plan, tmp_path / "old")
    data = bytearray((tmp_path / "new" / "part-1.bin").read_bytes())
    data[-2] ^= 1
    (tmp_path / "new" / "part-1.bin").write_bytes(data)
    with pytest.raises(InputError, match="part-1"):
        check(tmp_path / "new")
    with pytest.raises(InputError, match=r"part-1.bin: is not what the original was"):
        take_out(tmp_path / "new", tmp_path / "back")


def test_a_forecast_is_what_is_written(infused, tmp_path):
    """Packing and spread are counted from the plan; the ledger of what was written gives the same."""
    write_corpus(tmp_path / "old", infused.tokenizer.end_of_text)
    plan = plan_into(infused, f"{tmp_path}/old/*.bin", Dose(exposures=20))
    found = layout(plan, infused)
    ledger = infuse_into(plan, tmp_path / "new", workers=1)
    rows = columns(tmp_path / "new")
    begins = dict(
        zip((s.name for s in ledger.shards), np.cumsum([0, *(s.tokens for s in ledger.shards)]), strict=False)
    )
    starts = [int(begins[row["shard"]]) + row["offset"] for row in rows]
    assert found.start.tolist() == starts and found.shards.tolist() == [shard.tokens for shard in ledger.shards]

    packed = packing(found, 64)
    sequences = {shard.name: shard.tokens // 64 for shard in ledger.shards}
    assert packed.sequences == sum(sequences.values())
    last = {name: 64 * count for name, count in sequences.items()}
    whole = [row for row in rows if row["offset"] + row["tokens"] <= last[row["shard"]]]
    cut = [row for row in whole if row["offset"] // 64 != (row["offset"] + row["tokens"] - 1) // 64]
    assert (packed.lost, packed.cut) == (len(rows) - len(whole), len(cut))

    even = spread(found, "as written")
    assert (even.counts.sum(1) == 20).all() and np.abs(even.counts - 2).max() <= 1
    shuffled = spread(found, "documents", seed=1)
    assert (shuffled.counts.sum(1) == 20).all()
    assert shuffled.deviation == pytest.approx(np.sqrt(0.9 / 2), rel=0.2)
    assert even.deviation < shuffled.deviation / 2
    assert "20 exposures each" in preview_text(plan, infused)
