"""Files as people save them come in as the same rows; what cannot be read is named by file and row."""

import gzip

import pytest

from infusionlaw.errors import InputError
from infusionlaw.runs.tabular import read_rows

HEADER, ROWS = ["size", "note, if any"], [{"size": "1", "note, if any": "a"}, {"size": "2", "note, if any": None}]


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
        ("T.CSV", '\ufeffsize,"note, if any"\r\n1,a\r\n2,\r\n'),
        ("t.csv", 'size,"note, if any"\r1,a\r2,'),
        ("t.csv", ' size , "note,  if\nany", \n 1 , a,x\n2, ,\n\n,,\n'),
    ],
)
def test_the_same_rows_however_they_are_written(tmp_path, name, text) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert read_rows(tmp_path / name) == (HEADER, ROWS)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    assert read_rows(str(tmp_path / f"{name}.gz")) == (HEADER, ROWS)


def test_one_column_is_a_table(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("size\n1\n2\n")
    assert read_rows(tmp_path / "t.csv") == (["size"], [{"size": "1"}, {"size": "2"}])


def test_a_blank_row_keeps_the_numbers_of_the_rows_below(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n\n,\n3,4\n")
    _, rows = read_rows(tmp_path / "t.csv")
    assert [row["a"] for row in rows] == ["1", None, None, "3"]


def test_parquet_keeps_its_types(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({" n ": [1, None], "x": pa.array(["a", "a"]).dictionary_encode()}), tmp_path / "t.parquet")
    assert read_rows(tmp_path / "t.parquet") == (["n", "x"], [{"n": 1, "x": "a"}, {"n": None, "x": "a"}])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b" \n\n", "the file is empty"),
        ("t.csv", b"\na,b\n1,2\n", "row 1: the row is blank"),
        ("t.csv", b",\n,\n", "row 1: the row is blank"),
        ("t.csv", b"a,b\n1,2\n\n3,4,5\n", "row 4: the header has 2 cells and this row 3; quote"),
        ("t.csv", b"a,b\n1\n", "row 2: the header has 2 cells and this row 1; fix it"),
        ("t.csv", b'a,b\n1,2\n"3,4\n5,6\n', "row 3: cannot be split into cells"),
        ("t.csv", b"a,b, a\n1,2,3\n", 'two columns are named "a"'),
        ("t.csv", b"sep=;\na;b\n1;2\n", 'row 1: "sep=;" is no row of names; delete that line'),
        ("t.csv", b"\xef\xbb\xbfsep=,\r\na,b\r\n1,2\r\n", 'row 1: "sep=," is no row of names'),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), "not UTF-8 text"),
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
    assert read_rows(tmp_path / "t.csv")[1] == [{"a": "1,300,000", "b": "0,5"}]
