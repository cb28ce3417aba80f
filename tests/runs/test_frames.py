"""Data frames: what is read from one is what is read from its file, and it is refused in the same words."""

import subprocess
import sys

import pytest

from infusionlaw.errors import InputError
from infusionlaw.runs.frames import frame_of
from infusionlaw.runs.table import read_table

pandas = pytest.importorskip("pandas")
TEXT = """Params,token_budget,share,accuracy,seed,retention,extra,held-out
1.3B,20B,30%,0.41,1,,a,yes
1.3B,20B,0.6,0.5,1,0.9,,no
160M,2e9,0.1,NA,2,0.8,b,no
"""


def read_csv(tmp_path, text: str):
    (tmp_path / "t.csv").write_text(text)
    return tmp_path / "t.csv", pandas.read_csv(tmp_path / "t.csv")


def test_a_frame_gives_the_records_of_its_file(tmp_path) -> None:
    path, frame = read_csv(tmp_path, TEXT)
    assert read_table(frame) == read_table(path)
    assert read_table(frame.convert_dtypes()) == read_table(path)


def test_records_make_a_frame_that_is_read_back(tmp_path) -> None:
    records = read_table(read_csv(tmp_path, TEXT)[0])
    assert read_table(pandas.DataFrame(records)) == records


def test_the_index_of_a_frame_is_nothing_to_its_rows(tmp_path) -> None:
    path, frame = read_csv(tmp_path, TEXT)
    assert read_table(frame.set_index(pandas.Index([9, 9, 9]))) == read_table(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.assign(share=["30%", "6", "0.1"]), 'the data frame, row 1: "share" is 6, which must lie between'),
        (lambda f: f.assign(share=[0.3, 0.6, None]), "the data frame, row 2: neither share nor exposures is given"),
        (
            lambda f: f.assign(share=0.3, seed=1),
            "the data frame, row 1: the same size, tokens, dose, facts and seed as row 0",
        ),
        (lambda f: f.drop(columns="Params"), "the data frame: size is missing"),
        (lambda f: f.iloc[:0], "the data frame: the table has no rows"),
        (lambda f: pandas.concat([f, f], axis=1), 'the data frame: two columns are named "Params"'),
    ],
)
def test_a_bad_frame_is_refused_as_a_bad_file_is(tmp_path, change, said) -> None:
    with pytest.raises(InputError) as error:
        read_table(change(read_csv(tmp_path, TEXT)[1]))
    assert said in str(error.value)


def test_a_frame_has_the_columns_asked_for_and_gaps_where_a_row_lacks_one() -> None:
    frame = frame_of(("a", "b"), [{"a": 1, "b": 2.0}, {"a": 3}])
    assert list(frame.columns) == ["a", "b"] and frame["b"].isna().tolist() == [False, True]
    assert list(frame_of(("a",), []).columns) == ["a"]


def test_without_pandas_only_what_makes_a_frame_fails_and_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from infusionlaw.runs.frames import frame_of\nimport infusionlaw.runs.table\nframe_of(('a',), [])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "InputError: to_frame() needs pandas; install it: pip install pandas" in done.stderr
