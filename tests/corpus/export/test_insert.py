"""Insertion into a corpus that exists: what comes out, that it is the same however it is made, and the way back."""

import json
import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.corpus.export import insert_tokens, megatron
from infusionlaw.corpus.export.insert import infuse_into, plan_into, take_out
from infusionlaw.corpus.export.ledger import rows_of
from infusionlaw.corpus.export.placing import Dose
from infusionlaw.corpus.prepare import prepare
from infusionlaw.files import file_hash
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
                parts = [rng.integers(1, 500, size=rng.integers(1, 200)) for _ in range(sequences)]
                parts = [np.append(part, end) if end >= 0 else part for part in parts]
                if empty and number % 40 == 3:
                    parts = [part[:0] for part in parts]
                writer.add(np.concatenate(parts), [len(part) for part in parts])


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in folder.iterdir() if path.is_file()}


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

    assert ledger.share == pytest.approx(plan.share) == pytest.approx(0.2, abs=0.005)
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
