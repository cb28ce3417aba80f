"""The seam: ids that hash content, tables that come back, bad cells that are named."""

import math
from dataclasses import replace

import pytest

from infusionlaw.errors import InputError
from infusionlaw.records import RunRecord, RunSpec, read_table, table_hash, table_text, write_table

SPEC = RunSpec(14_000, 1_500_000, 0.5, "share", 1, "abc", (("block", 128),))
ROW = RunRecord(size=14_000, tokens=1_500_000, share=0.1 + 0.2, recall=1 / 3, recall_se=0.04, seed=1, run="r1")


@pytest.mark.parametrize(
    "change", [{"size": 1}, {"tokens": 1}, {"dose": 0.4}, {"seed": 2}, {"data": "x"}, {"options": (("block", 64),)}]
)
def test_the_id_changes_with_the_content(change) -> None:
    assert replace(SPEC, **change).id != SPEC.id


def test_the_id_does_not_depend_on_the_role() -> None:
    assert replace(SPEC, held_out=True).id == SPEC.id
    assert SPEC.id == "".join(c for c in SPEC.id if c in "0123456789abcdef") and len(SPEC.id) == 12


def test_a_table_comes_back_as_it_was_and_equal_rows_give_equal_bytes(tmp_path) -> None:
    rows = [ROW, replace(ROW, recall=None, recall_se=None, status="diverged", held_out=True, run="r2")]
    write_table(tmp_path / "t.csv", rows)
    assert read_table(tmp_path / "t.csv") == rows
    assert table_text(rows) == table_text([replace(row) for row in rows])
    assert table_hash(rows) != table_hash(rows[:1])


def test_a_parquet_table_is_read(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"size": [14_000.0], "tokens": [1e6], "exposures": [30.0], "recall": [math.nan], "note": ["x"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (row,) = read_table(tmp_path / "t.parquet")
    assert (row.size, row.exposures, row.recall) == (14_000, 30, None)


def test_a_missing_dose_unit_follows_from_the_other(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("size,tokens,exposures,recall,facts,tokens_per_fact\n1e4,1e6,50,.5,100,20\n")
    assert read_table(tmp_path / "t.csv")[0].share == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size,tokens,share\n1,1,.5\n", 'column "recall" is missing'),
        ("size,tokens,recall\n1,1,.5\n", 'neither column "share" nor "exposures"'),
        ("size,tokens,share,recall\n", "no rows"),
        ("size,tokens,share,recall\n1,1,.5,.5\n1,1,1.5,.5\n", 'row 3: "share" is 1.5'),
        ("size,tokens,share,recall\n-1,1,.5,.5\n", 'row 2: "size" is -1'),
        ("size,tokens,share,recall\n1,many,.5,.5\n", "row 2: \"tokens\" is 'many'"),
        ("size,tokens,share,recall\n1,1,.5,2\n", 'row 2: "recall" is 2'),
        ("size,tokens,share,recall\n,1,.5,.5\n", 'row 2: "size" is empty'),
        ("size,tokens,share,exposures,recall\n1,1,,,.5\n", "row 2: neither share nor exposures"),
        ("size,tokens,share,recall,recall_se\n1,1,.5,.5,-1\n", 'row 2: "recall_se" is -1'),
    ],
)
def test_bad_tables_are_refused_with_the_row(tmp_path, text, message) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError) as error:
        read_table(tmp_path / "t.csv")
    assert message in str(error.value)
    assert "t.csv" in str(error.value)
    assert "\n" not in str(error.value)
