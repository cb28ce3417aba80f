"""General text: files of every kind in, the same documents out, and one sentence when something is wrong."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from infusionlaw.corpus import general
from infusionlaw.corpus.general import documents, is_validation, source_hash, unread_files
from infusionlaw.errors import InputError


def write_zst(path: Path, text: bytes) -> None:
    with pyarrow.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(text)


def jsonl(*texts: str | None, field: str = "text") -> str:
    return "".join(json.dumps({"id": 1, field: text}) + "\n" for text in texts)


def read(source: str | list[str], base: Path, text_field: str = "text") -> list[str]:
    return list(documents(source, text_field=text_field, base=base))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """One file of each kind, named so that their sorted order is a to h."""
    (tmp_path / "a.txt").write_bytes("\ufeffone, with a mark é\r\n".encode())
    (tmp_path / "b.md").write_text("# two\n")
    (tmp_path / "c.jsonl").write_text(jsonl("three", "", None, "three") + "\n")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"fo") + gzip.compress(b"ur"))
    write_zst(tmp_path / "e.md.zst", b"five")
    (tmp_path / "f.jsonl.gz").write_bytes(gzip.compress(jsonl("six").encode()))
    write_zst(tmp_path / "g.jsonl.zst", jsonl("seven", "eight").encode())
    parquet.write_table(pyarrow.table({"text": ["nine", None, "ten"], "other": [1, 2, 3]}), tmp_path / "h.parquet")
    return tmp_path


EVERYTHING = [
    "one, with a mark é\n",
    "# two\n",
    "three",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
]


def test_a_folder_gives_the_documents_of_every_kind_of_file_in_sorted_order(corpus: Path) -> None:
    (corpus / "notes.pdf").write_bytes(b"\xff")
    (corpus / ".hidden").mkdir()
    (corpus / ".hidden" / "x.txt").write_text("hidden")
    assert read(".", corpus) == EVERYTHING
    assert read(str(corpus), Path("/")) == EVERYTHING


def test_globs_and_lists_read_each_file_once_whatever_their_order(corpus: Path) -> None:
    (corpus / "deep").mkdir()
    (corpus / "deep" / "z.txt").write_text("deep")
    assert read("**/*.txt", corpus) == ["one, with a mark é\n", "deep"]
    found = read(["deep/z.txt", "*.jsonl*", "c.jsonl", "deep/../c.jsonl"], corpus)
    assert found == ["three", "three", "deep", "six", "seven", "eight"]


def test_a_name_that_exists_is_not_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("itself")
    (tmp_path / "a1.txt").write_text("another")
    assert read("a[1].txt", tmp_path) == ["itself"]


def test_the_text_field_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl("one", field="body"))
    parquet.write_table(pyarrow.table({"body": ["two"]}), tmp_path / "b.parquet")
    assert read(".", tmp_path, text_field="body") == ["one", "two"]


def test_a_long_text_is_cut_at_blank_lines_and_loses_nothing(tmp_path: Path) -> None:
    paragraphs = [f"paragraph {i} " + "word " * 300 + "\nsecond line é\n\n" for i in range(1000)]
    (tmp_path / "a.txt").write_text("".join(paragraphs), encoding="utf8")
    pieces = read("a.txt", tmp_path)
    assert "".join(pieces) == "".join(paragraphs)
    assert len(pieces) > 10
    assert all(piece.startswith("paragraph") and piece.endswith("\n\n") for piece in pieces)
    assert max(len(piece.encode()) for piece in pieces) <= general.PIECE


def test_a_text_below_a_megabyte_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a line\n\n" * 100_000)
    assert len(read("a.txt", tmp_path)) == 1


def test_a_long_text_without_any_line_end_is_cut_as_well(tmp_path: Path) -> None:
    text = "wörter " * 300_000
    (tmp_path / "a.txt").write_text(text, encoding="utf8")
    pieces = read("a.txt", tmp_path)
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) < 1.2 * general.PIECE


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, name: str) -> None:
    """Twenty megabytes pass through in the memory of a few."""
    line = json.dumps({"text": "word " * 200}) + "\n\n"
    with (tmp_path / name).open("w") as file:
        file.writelines(line for _ in range(20_000))
    tracemalloc.start()
    count = sum(1 for _ in documents(name, base=tmp_path))
    source_hash(name, base=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 200
    assert peak < 8e6


def test_memory_does_not_grow_with_a_parquet_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with parquet.ParquetWriter(tmp_path / "a.parquet", pyarrow.schema([("text", pyarrow.string())])) as writer:
        for _ in range(20):
            writer.write_table(pyarrow.table({"text": [rng.bytes(500).hex() for _ in range(2000)]}))
    before = pyarrow.total_allocated_bytes()
    held = [pyarrow.total_allocated_bytes() - before for _ in documents("a.parquet", base=tmp_path)]
    assert len(held) == 40_000
    assert max(held) < 10e6


def test_the_hash_follows_names_order_field_and_bytes_but_not_the_place(corpus: Path, tmp_path: Path) -> None:
    before = source_hash(".", base=corpus)
    assert before == source_hash(["*.jsonl*", "[!c]*"], base=corpus)
    assert before != source_hash(".", base=corpus, text_field="body")
    assert source_hash("a.txt", base=corpus) == source_hash("a.txt", base=corpus, text_field="body")
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "a.txt").write_bytes((corpus / "a.txt").read_bytes())
    assert source_hash("a.txt", base=moved) == source_hash("a.txt", base=corpus)
    (moved / "a.txt").write_text("changed")
    assert source_hash("a.txt", base=moved) != source_hash("a.txt", base=corpus)
    assert source_hash("b.md", base=corpus) != source_hash("a.txt", base=corpus)


def test_python_docs_is_a_source_that_can_stand_beside_files(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general, "python_docs", lambda: iter(["docs"]))
    assert read("python-docs", corpus) == ["docs"]
    assert read(["b.md", "python-docs"], corpus) == ["docs", "# two\n"]
    hashes = {source_hash(source, base=corpus) for source in ("python-docs", "b.md", ("python-docs", "b.md"))}
    assert len(hashes) == 3


def test_the_validation_split_has_its_rate_and_depends_on_the_text_alone() -> None:
    texts = [f"document {i}" for i in range(20_000)]
    chosen = [text for text in texts if is_validation(text, 0.1)]
    assert abs(len(chosen) / len(texts) - 0.1) < 0.01
    assert chosen == sorted((t for t in reversed(texts) if is_validation(t, 0.1)), key=texts.index)
    assert set(chosen) <= {text for text in texts if is_validation(text, 0.2)}
    assert not any(is_validation(text, 0.0) for text in texts)
    assert all(is_validation(text, 1.0) for text in texts)


@pytest.mark.parametrize("source", ["nothing.txt", "*.csv", "python-doc", "", "empty-folder", "a" * 300])
def test_a_path_that_matches_nothing_is_refused_at_the_call(corpus: Path, source: str) -> None:
    (corpus / "empty-folder").mkdir()
    with pytest.raises(InputError, match=f'"{source.replace("*", "[*]")}" matches nothing.*give "python-docs"'):
        documents(source, base=corpus)


def test_an_unknown_ending_is_refused_with_what_is_read(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.parquet.gz"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"a\.pdf: .* text is read from \.txt, \.md, \.jsonl"):
        documents("a.pdf", base=tmp_path)
    with pytest.raises(InputError, match=r"\.parquet\.gz"):
        source_hash("*.gz", base=tmp_path)


def test_a_folder_is_read_whatever_its_files_are_called_and_says_what_it_left(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.jsonl").write_text(jsonl("linked"))
    (tmp_path / "data" / "b.ndjson").write_text(jsonl("b"))
    (tmp_path / "data" / "c.json.gz").write_bytes(gzip.compress(jsonl("c").encode()))
    (tmp_path / "data" / "d.json").write_text('[{"text": "d"}]')
    (tmp_path / "data" / "e.jsonl.zstd").write_bytes(bytes(pyarrow.Codec("zstd").compress(jsonl("e").encode())))
    (tmp_path / "data" / "f.txt.xz").write_bytes(lzma.compress(b"f"))
    (tmp_path / "data" / "g.md.bz2").write_bytes(bz2.compress(b"g"))
    (tmp_path / "data" / "h.pdf").write_bytes(b"%PDF")
    (tmp_path / "data" / "i.parquet.gz").write_bytes(b"")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "z.jsonl").symlink_to(tmp_path / "store" / "a.jsonl")
    assert sorted(read("data", tmp_path)) == ["b", "c", "d", "e", "f", "g", "linked"]
    assert read("data/**/*.jsonl", tmp_path) == ["linked"]
    assert [path.name for path in unread_files("data", base=tmp_path)] == ["h.pdf", "i.parquet.gz"]
    (tmp_path / "data" / "lost.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"lost\.jsonl: no such file"):
        read("data", tmp_path)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ("{broken", "row 2: broken JSON"),
        ('["text"]', "row 2: not a JSON object"),
        ('{"txt": "x"}', 'row 2: "text" is missing.*did you mean "txt"'),
        ('{"text": 3}', 'row 2: "text" must be text, not int'),
        ('{"text": "ab\\ud800"}', 'row 2: "text" is not UTF-8 at character 2'),
    ],
)
def test_a_bad_jsonl_line_is_named(tmp_path: Path, second: str, complaint: str) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl("fine") + second + "\n")
    stream = documents("a.jsonl", base=tmp_path)
    assert next(stream) == "fine"
    with pytest.raises(InputError, match=f"a.jsonl, {complaint}"):
        next(stream)


def test_a_parquet_without_the_column_is_refused_with_the_nearest(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"txt": ["x"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r'a\.parquet: "text" is missing.*did you mean "txt"'):
        read("a.parquet", tmp_path)
    with pytest.raises(InputError, match=r'a\.parquet, row 1: "n" must be text, not int'):
        read("a.parquet", tmp_path, text_field="n")


def test_a_parquet_with_bad_bytes_or_none_of_its_own_is_refused(tmp_path: Path) -> None:
    raw = pyarrow.array([b"fine", b"ab\xff"], type=pyarrow.binary())
    text = pyarrow.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    parquet.write_table(pyarrow.table({"text": text}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet, row 2: the text is not UTF-8 at byte 2"):
        read("a.parquet", tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"not a table")
    with pytest.raises(InputError, match=r"b\.parquet: not a readable Parquet file"):
        read("b.parquet", tmp_path)


def test_a_long_row_is_cut_as_a_long_file_is(tmp_path: Path) -> None:
    text = "some words\n\n" * 100_000
    (tmp_path / "a.jsonl").write_text(jsonl(text))
    parts = read("a.jsonl", tmp_path)
    assert "".join(parts) == text
    assert max(map(len, parts)) <= general.PIECE


def test_packed_shards_of_other_writers_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"padded") + bytes(512))
    parquet.write_table(pyarrow.table({"text": pyarrow.array([b"bytes \xc3\xa9"])}), tmp_path / "b.parquet")
    assert read(".", tmp_path) == ["padded", "bytes é"]


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("tail", [b"\xff and more", b"\xe2\x82"])
def test_text_that_is_not_utf8_is_refused_with_its_byte(tmp_path: Path, start: str, tail: bytes) -> None:
    good = (start + "é line\n" * 700_000).encode()
    (tmp_path / "a.txt").write_bytes(good + tail)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(jsonl("fine").encode() + b'{"text": "' + tail))
    with pytest.raises(InputError, match=rf"a\.txt: .* not UTF-8 at byte {len(good)}, in line 700001;"):
        read("a.txt", tmp_path)
    with pytest.raises(InputError, match=rf"b\.jsonl\.gz: .* not UTF-8 at byte {len(jsonl('fine')) + 10}, in line 2;"):
        read("b.jsonl.gz", tmp_path)


@pytest.mark.parametrize("name", ["d.txt.gz", "e.md.zst", "g.jsonl.zst"])
def test_a_packed_file_cut_short_is_refused(corpus: Path, name: str) -> None:
    whole = (corpus / name).read_bytes()
    (corpus / name).write_bytes(whole[:-6])
    with pytest.raises(InputError, match=f"{name}: cannot be read to its end"):
        read(name, corpus)


def test_a_corpus_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n")
    (tmp_path / "b.jsonl").write_text(jsonl("", None))
    with pytest.raises(InputError, match="holds no text"):
        read(".", tmp_path)
    with pytest.raises(InputError, match="list of sources is empty"):
        documents([], base=tmp_path)
