"""Files as people save them come in as the same rows; what cannot be read is named by file and row."""

import bz2
import csv
import gzip
import json
import lzma
import re
import sys
import tracemalloc

import pyarrow
import pytest
from pyarrow import parquet

from infusionlaw.errors import InputError
from infusionlaw.runs import packed, tabular
from infusionlaw.runs.tabular import read_rows

HEADER, ROWS = ["size", "note, if any"], {2: {"size": "1", "note, if any": "a"}, 3: {"size": "2", "note, if any": None}}


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        read_rows(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'size,"note, if any"\n1,a\n2,\n'),
        ("t.tsv", "size\tnote, if any\n1\ta\n2\t\n"),
        ("t.txt", "size;note, if any\n1;a\n2;\n"),
        ("t.csv", "size;note, if any\n1;a\n2;\n"),
        ("t.txt", "size|note, if any\n1|a\n2|\n"),
        ("T.CSV", '\ufeffsize,"note, if any"\r\n1,a\r\n2,\r\n'),
        ("t.csv", 'size,"note, if any"\r1,a\r2,'),
        ("t.csv", ' size , "note,  if\nany", \n 1 , a,x\n2, ,\n\n,,\n'),
    ],
)
def test_the_same_rows_however_they_are_written(tmp_path, name, text) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert read_rows(tmp_path / name) == (HEADER, ROWS)
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": pyarrow.Codec("zstd").compress}
    for ending, compress in packed.items():
        (tmp_path / f"{name}{ending}").write_bytes(bytes(compress(text.encode())))
        assert read_rows(str(tmp_path / f"{name}{ending}")) == (HEADER, ROWS)


QUOTED = ["Song A", '"Heroes"', '"Foo', 'Qux"', '"Weird" Name', 'say ""x']


def test_between_tabs_a_quotation_mark_is_a_character(tmp_path) -> None:
    (tmp_path / "t.tsv").write_text("name\tn\n" + "".join(f"{name}\t1\n" for name in QUOTED))
    assert [row["name"] for row in read_rows(tmp_path / "t.tsv")[1].values()] == QUOTED


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_between_tabs_the_quotes_of_a_writer_of_csv_are_taken_off(tmp_path, quoting) -> None:
    with (tmp_path / "t.tsv").open("w", newline="") as handle:
        csv.writer(handle, delimiter="\t", quoting=quoting).writerows([["name", "n"], *([name, 1] for name in QUOTED)])
    assert [row["name"] for row in read_rows(tmp_path / "t.tsv")[1].values()] == QUOTED


def test_between_tabs_a_column_that_is_quoted_throughout_is_a_writers_of_csv(tmp_path) -> None:
    (tmp_path / "t.tsv").write_text('name\tn\tsaid\n"Lyon"\t"1"\t"x"\n"Oslo"\t"2"\ty\n')
    rows = read_rows(tmp_path / "t.tsv")[1]
    assert rows == {2: {"name": "Lyon", "n": "1", "said": '"x"'}, 3: {"name": "Oslo", "n": "2", "said": "y"}}


def test_json_is_read_by_line_or_as_one_list(tmp_path) -> None:
    rows = [{"size": "1", "note, if any": "a"}, {"size": "2"}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    assert read_rows(tmp_path / "t.jsonl") == (HEADER, {1: ROWS[2], 3: ROWS[3]})
    for text in (json.dumps(rows), json.dumps(rows, indent=1), "\n" + json.dumps(rows)):
        (tmp_path / "t.json").write_text(text)
        assert read_rows(tmp_path / "t.json") == (HEADER, {1: ROWS[2], 2: ROWS[3]})


def test_one_column_is_a_table(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("size\n1\n2\n")
    assert read_rows(tmp_path / "t.csv") == (["size"], {2: {"size": "1"}, 3: {"size": "2"}})


def test_a_blank_row_keeps_the_numbers_of_the_rows_below(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n\n,\n3,4\n")
    _, rows = read_rows(tmp_path / "t.csv")
    assert {number: row["a"] for number, row in rows.items()} == {2: "1", 5: "3"}


def test_parquet_keeps_its_types(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({" n ": [1, None], "x": pa.array(["a", "a"]).dictionary_encode()}), tmp_path / "t.parquet")
    assert read_rows(tmp_path / "t.parquet") == (["n", "x"], {1: {"n": 1, "x": "a"}, 2: {"n": None, "x": "a"}})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b" \n\n", "the file is empty"),
        ("t.csv", b"\na,b\n1,2\n", "row 1: the row is blank"),
        ("t.csv", b",\n,\n", "row 1: the row is blank"),
        ("t.csv", b"a,b\n1,2\n\n3,4,5\n", "row 4: the header has 2 cells and this row 3; quote"),
        ("t.csv", b"a\0,\0b\0\n\0", "this is text in UTF-16 without a byte-order mark"),
        ("t.json", b'[{"a": 1}', "row 1: broken JSON (no comma"),
        ("t.json", b'[{"a": 1}] x', "broken JSON (there is more"),
        ("t.json", b'[{"a": 1},]', "row 2: broken JSON"),
        ("t.csv", b"a,b\n1\n", "row 2: the header has 2 cells and this row 1; fix it"),
        ("t.csv", b'a,b\n1,2\n"3,4\n5,6\n', "row 3: cannot be split into cells"),
        ("t.csv", b"a,b, a\n1,2,3\n", 'two columns are named "a"'),
        ("t.csv", b"sep=;\na;b\n1;2\n", 'row 1: "sep=;" is no row of names; delete that line'),
        ("t.csv", b"\xef\xbb\xbfsep=,\r\na,b\r\n1,2\r\n", 'row 1: "sep=," is no row of names'),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), "the text is not UTF-8 at byte 6, in line 2"),
        ("t.csv", b"a,b\n", "no rows below the first, which is taken for the names of columns: a, b"),
        ("t.csv", "a,b\n1,é\n".encode("utf-16"), "the text is UTF-16"),
        ("t.jsonl", b'{"a": 1}\n{"a": 1, "a": 2}\n', 'row 2: broken JSON (the key "a" stands twice'),
        ("t.jsonl", b'{"a": "ab\\ud800"}\n', 'row 1: "a" is not UTF-8 at character 2'),
        ("t.csv", "\ufeffa,b\n1,2\n\ufeffa,b\n3,4\n".encode(), "row 3: it repeats the names of the columns"),
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "packed with gzip; name it"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "row 2: not a JSON object"),
        ("t.json", b'[{"a": 1}, 2]', "row 2: not a JSON object"),
        ("t.json", b'[{"a": ' + b"[" * 100_000, "broken JSON"),
        ("t.jsonl", b'{"a": ' + b"1" * 10_000 + b"}", "row 1: broken JSON"),
        ("t.jsonl", b"\n", "no rows"),
        ("t.tsv", b'a\tb\n"x\n', "row 2: the header has 2 cells and this row 1"),
        ("t.csv.xz", b"a,b\n1,2\n", "cannot be read"),
        ("t.csv.bz2", bz2.compress(b"a,b\n" + b"1,2\n" * 1000)[:-9], "cannot be read"),
        ("t.parquet.gz", b"", "not a kind of file"),
        ("t.csv.gz", b"a,b\n1,2\n", "cannot be read"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "cannot be read"),
        ("t.parquet", b"a,b\n1,2\n", "not a readable Parquet file"),
        ("t.xlsx", b"PK", "save it as .csv"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, data, message) -> None:
    (tmp_path / name).write_bytes(data)
    assert message in refusal(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert "no such file" in refusal(tmp_path / "t.csv")
    assert "a folder" in refusal(tmp_path / "folder.csv")


def test_commas_in_cells_are_left_to_who_reads_the_column(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1,300,000;0,5\n")
    assert read_rows(tmp_path / "t.csv")[1] == {2: {"a": "1,300,000", "b": "0,5"}}


def zipped(path, start: bytes, unit: bytes, times: int, end: bytes = b""):
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(times):
            file.write(unit)
        file.write(end)
    return path


@pytest.mark.parametrize(
    ("name", "start", "unit", "message"),
    [
        ("t.csv.gz", b"", bytes(2**20), "line 1: longer than 200,000 characters"),
        ("t.csv.gz", b"", b"\n" * 2**20, "the file is empty"),
        ("t.csv.gz", b"a,b\n", b"\n" * 2**20, "more than 1,000 rows"),
        ("t.jsonl.gz", b"", b"\n" * 2**20, "more than 1,000 rows"),
        ("t.csv.gz", b"a,b\n", b"1,2\n" * 2**18, "more than 1,000 rows"),
        ("t.csv.gz", b"", b"a," * 2**19, "line 1: longer than 200,000 characters"),
        ("t.csv.gz", b'a,b\n1,"', b"a\n" * 2**19, "row 2: longer than 200,000 characters"),
        ("t.csv.gz", b"a\n", (b"x" * 99_999 + b"\n") * 10, "more than 500,000 characters"),
        ("t.json.gz", b'[{"text": "', b"a" * 2**20, "row 1: broken JSON, or longer than 200,000 characters"),
        ("t.json.gz", b"[{}", b",{}" * 2**18, "more than 1,000 rows"),
        ("t.jsonl.gz", b"", b"".join(b'{"%d": 1}\n' % i for i in range(500)), "more than 100,000 cells"),
    ],
)
def test_sizes_are_checked_while_reading(tmp_path, monkeypatch, name, start, unit, message) -> None:
    """Fifty megabytes, packed, with limits as much smaller than the true ones: memory is that of the limits."""
    for module in (tabular, packed):
        monkeypatch.setattr(module, "LONGEST", 200_000)
    for limit, value in {"MOST_ROWS": 1000, "MOST_CELLS": 100_000, "MOST_TEXT": 500_000}.items():
        monkeypatch.setattr(tabular, limit, value)
    path = zipped(tmp_path / name, start, unit, 50)
    tracemalloc.start()
    said = refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message in said
    assert peak < 5e6


def test_a_cell_or_a_repeated_one_of_parquet_is_not_unpacked_beyond_its_limit(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tabular, "LONGEST", 100_000)
    monkeypatch.setattr(tabular, "HELD", 1_000_000)
    monkeypatch.setattr(tabular, "MOST_TEXT", 500_000)
    text = pyarrow.array(["a" * 90_000])
    for cells, message in (
        (pyarrow.array(["a" * 10_000_000]), "row 1: .* bytes a row and may have 100,000"),
        (pyarrow.array(["a" * 200_000, *"a" * 9]), "has a cell of 200,000 bytes"),
        (pyarrow.array([f"{i:04}" * 1000 for i in range(1000)]), "more than can be read at once"),
        (pyarrow.array([[0] * 1_000_000]), "bytes a row and may have"),
        (pyarrow.DictionaryArray.from_arrays([0] * 1000, text), "more than 500,000 characters"),
    ):
        parquet.write_table(pyarrow.table({"x": cells}), tmp_path / "t.parquet")
        assert re.search(message, refusal(tmp_path / "t.parquet"))
    before = pyarrow.total_allocated_bytes()
    held = [pyarrow.total_allocated_bytes() - before for _ in tabular.stream_rows(tmp_path / "t.parquet")]
    assert len(held) == 1000 and max(held) < 5e6


def test_a_list_of_any_length_is_streamed(tmp_path) -> None:
    path = zipped(
        tmp_path / "t.json.gz", b'\n [ {"a": "x"}', b' ,\n{"a": "\\u00e9\\\\", "b": [{}]}' * 100, 100, b" ]\n"
    )
    tracemalloc.start()
    rows = sum(row["a"] in ("x", "é\\") for _, row in tabular.stream_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 10_001 and peak < 1.5e6


def test_a_name_that_cannot_be_looked_up_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"a\\x00\.csv: no such file"):
        read_rows(tmp_path / "a\0.csv")
    assert "cannot be looked up" in refusal(tmp_path / f"{'a' * 300}.csv")


def test_marks_of_joined_files_are_no_text(tmp_path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf{"a": 2}\n')
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf\xef\xbb\xbfa\n1\n2\n")
    assert [[int(row["a"]) for row in read_rows(tmp_path / name)[1].values()] for name in ("t.jsonl", "t.csv")] == [
        [1, 2]
    ] * 2


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.zst"])
def test_what_needs_an_extra_says_which(tmp_path, monkeypatch, name) -> None:
    whole = pyarrow.Codec("zstd").compress(b"a,b\n1,2\n")
    (tmp_path / name).write_bytes(bytes(whole))
    for module in [module for module in sys.modules if module.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r'needs pyarrow; install it with pip install ".\[parquet\]"'):
        tabular.read_rows(tmp_path / name)
