"""Files that are another kind than was meant are named for what they are."""

import json
import zipfile

import pyarrow
import pytest
from planlaws import known_law
from pyarrow import parquet

from infusionlaw import Law, find_points, predict, read_plan, read_table
from infusionlaw.corpus.general import documents
from infusionlaw.errors import InputError
from infusionlaw.law.planning.plan import write_plan
from infusionlaw.law.points.point import read_points, write_points
from infusionlaw.law.scaling.law import write_law
from infusionlaw.settings import read_study_file, write_template

ROWS = [{"size": 14e3, "tokens": 1e6, "share": share, "recall": 0.5, "seed": 1} for share in (0, 0.1, 0.3)]
CSV = "size,tokens,share,recall,seed\n14e3,1e6,0,0.5,1\n14e3,1e6,0.1,0.5,1\n14e3,1e6,0.3,0.5,1\n"


def workbook(path, member: str, mimetype: str = ""):
    with zipfile.ZipFile(path, "w") as book:
        if mimetype:
            book.writestr("mimetype", mimetype)
        book.writestr(member, "<xml/>")
    return path


@pytest.fixture
def files(tmp_path):
    """A file of each kind, by name."""
    law = known_law()
    write_law(tmp_path / "law.json", law)
    write_plan(tmp_path / "plan.json", predict(law, 40e3, 1.5e6))
    (tmp_path / "table.csv").write_text(CSV)
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "table.json").write_text(json.dumps(ROWS))
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "table.parquet")
    write_points(tmp_path / "points.json", find_points(read_table(tmp_path / "table.csv")))
    write_template(tmp_path / "study.toml")
    workbook(tmp_path / "book.xlsx", "[Content_Types].xml")
    workbook(tmp_path / "book.ods", "content.xml", "application/vnd.oasis.opendocument.spreadsheet")
    (tmp_path / "utf16.csv").write_bytes(CSV.encode("utf-16-le"))
    (tmp_path / "lines.csv").write_bytes((tmp_path / "table.jsonl").read_bytes())
    (tmp_path / "list.jsonl").write_text(json.dumps(ROWS, indent=1))
    (tmp_path / "columns.csv").write_bytes((tmp_path / "table.parquet").read_bytes())
    return tmp_path


READERS = {"table": read_table, "law": Law.load, "plan": read_plan, "points": read_points, "study": read_study_file}


@pytest.mark.parametrize("wanted", READERS)
@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("law.json", "law", "this is a law; infusionlaw predict reads it"),
        ("plan.json", "plan", "this is a plan; "),
        ("points.json", "points", "this is a points file; infusionlaw fit writes it from a table"),
        ("study.toml", "study", "this is a study file; infusionlaw run reads it"),
        ("book.xlsx", "", "this is an Excel workbook; save its sheet as CSV"),
        ("book.ods", "", "this is an OpenDocument spreadsheet; save its sheet as CSV"),
        ("utf16.csv", "", "this is text in UTF-16 without a byte-order mark; save it as UTF-8"),
    ],
)
def test_another_kind_of_file_is_named(files, wanted, name, kind, said) -> None:
    if kind == wanted:
        READERS[wanted](files / name)
        return
    with pytest.raises(InputError) as error:
        READERS[wanted](files / name)
    assert str(error.value).startswith(f"{files / name}: {said}") and "\n" not in str(error.value)


@pytest.mark.parametrize("wanted", [name for name in READERS if name != "table"])
@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.json", "table.parquet"])
def test_a_table_is_to_be_fitted_first(files, wanted, name) -> None:
    assert len(read_table(files / name)) == 3
    with pytest.raises(InputError) as error:
        READERS[wanted](files / name)
    assert str(error.value) == f"{files / name}: this is a table; fit it first: infusionlaw fit {files / name}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lines.csv", "this is JSON with an object a line; name it .jsonl"),
        ("list.jsonl", "this is a JSON list; name it .json"),
        ("columns.csv", "this is a Parquet file; name it .parquet"),
    ],
)
def test_rows_under_a_wrong_ending_are_named(files, name, said) -> None:
    with pytest.raises(InputError, match=said):
        read_table(files / name)


def test_utf16_without_a_mark_is_no_text(tmp_path) -> None:
    (tmp_path / "text.txt").write_bytes("Grüße, wie geht es? ".encode("utf-16-be") * 50)
    with pytest.raises(InputError, match="this is text in UTF-16"):
        list(documents("text.txt", base=tmp_path, text_field="text"))


def test_a_study_file_that_is_broken_is_not_taken_for_something_else(tmp_path) -> None:
    (tmp_path / "study.toml").write_text("[design\nsizes = 3\n")
    with pytest.raises(InputError, match="not valid TOML"):
        read_study_file(tmp_path / "study.toml")
