"""The table of runs: what is written comes back, anybody's table comes in, and what is wrong is named by its row."""

import math
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infusionlaw.errors import InputError
from infusionlaw.runs.names import ALIASES, FIELDS, HELPERS, SE_ENDINGS, UNITLESS, names_of, score_columns
from infusionlaw.runs.outcomes import LOSSES
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import append_row, read_table, table_hash, table_text, write_table

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "table.md"
ROW = RunRecord(size=14_000, tokens=1_500_000, share=0.1 + 0.2, recall=1 / 3, recall_se=0.04, seed=1, run="r1")
SCORES = [name for name in score_columns() if name in FIELDS]
PART = st.floats(0, 1) | st.none()
RECORDS = st.builds(
    RunRecord,
    size=st.floats(1e3, 1e12),
    tokens=st.floats(1e3, 1e15),
    share=st.floats(0, 1, exclude_max=True),
    recall=PART,
    retention=PART,
    val_bpb=st.floats(0, 10, exclude_min=True) | st.none(),
    recall_se=st.floats(0, 0.5) | st.none(),
    seed=st.integers(-(2**63), 2**64),
    held_out=st.booleans(),
    status=st.sampled_from(["ok", "diverged", "unfinished"]),
    run=st.sampled_from(["", "a,b", 'the "best"', "NaN"]),
).map(lambda row: row if row.status == "ok" else replace(row, **dict.fromkeys(SCORES)))


def read(tmp_path, text: str) -> list[RunRecord]:
    (tmp_path / "t.csv").write_text(text)
    return read_table(tmp_path / "t.csv")


def refusal(tmp_path, text: str) -> str:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert "t.csv" in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def run(**cells) -> RunRecord:
    """The record that these cells of one row should give."""
    return RunRecord(**{"size": 9e3, "tokens": 9e3, "share": 0.5, "recall": 0.5} | cells)


def one_row(**cells: str) -> str:
    cells = {"size": "9k", "tokens": "9k", "share": ".5", "recall": ".5"} | cells
    return ",".join(cells) + "\n" + ",".join(f'"{cell}"' for cell in cells.values()) + "\n"


def test_a_table_comes_back_as_it_was_and_equal_rows_give_equal_bytes(tmp_path) -> None:
    rows = [ROW, replace(ROW, recall=None, recall_se=None, seed=2, status="diverged", held_out=True, run="r2")]
    write_table(tmp_path / "t.csv", rows)
    assert read_table(tmp_path / "t.csv") == rows
    assert table_text(rows) == table_text([replace(row) for row in rows])
    assert table_hash(rows) != table_hash(rows[:1])


def test_scores_of_files_and_guessing_of_one_outcome_come_back(tmp_path) -> None:
    scores = (
        ("recall:medqa", 0.31),
        ("accuracy:med-qa", 0.3),
        ("answer_loss:medqa", 1.5),
        ("chance:retention", 0.5),
    )
    more = tuple((name, value) for score, value in scores for name, value in ((score, value), (f"{score}_se", 0.01)))
    rows = [run(recall=0.3, chance=0.25, share=share, more=more[:-1]) for share in (0, 0.1)]
    write_table(tmp_path / "runs.csv", rows)
    (first, _) = read = read_table(tmp_path / "runs.csv")
    assert sorted(first.more) == sorted(more[:-1]) and first.loss_unit is None
    assert table_text(read) == table_text(rows)
    assert (first.chance_of("recall"), first.chance_of("retention")) == (0.25, 0.5)
    text = (tmp_path / "runs.csv").read_text().replace("0.31", "31")
    assert "recall:medqa" in refusal(tmp_path, text)


def test_a_table_named_parquet_is_parquet_and_other_kinds_are_refused(tmp_path) -> None:
    rows = [ROW, replace(ROW, recall=None, recall_se=None, seed=np.int64(2), held_out=True, run="r2")]
    write_table(tmp_path / "t.parquet", rows)
    assert (tmp_path / "t.parquet").read_bytes()[:4] == b"PAR1"
    assert read_table(tmp_path / "t.parquet") == rows
    with pytest.raises(InputError, match=r"t\.xlsx: tables are written as \.csv or \.parquet"):
        write_table(tmp_path / "t.xlsx", rows)


PLAIN = RunRecord(
    **{"size": 14_000, "tokens": 2e15, "share": 0.5, "exposures": 12, "recall": 0.25, "val_bpb": 1.0, "chance": 0},
    **{"seed": 2**62 + 1, "held_out": True, "run": "a"},
)


@pytest.mark.parametrize(
    "cells",
    [
        {"share": np.float64(0.5), "recall": np.float32(0.25), "val_bpb": np.float16(1), "exposures": np.int8(12)},
        {"size": np.int64(14_000), "tokens": 2 * 10**15, "seed": np.int64(2**62 + 1), "held_out": np.bool_(True)},
        {"size": np.array(14e3), "share": Fraction(1, 2), "recall": Decimal("0.25"), "val_bpb": True},
        {"chance": False, "held_out": 1, "run": np.str_("a"), "tokens": np.longdouble(2e15)},
    ],
)
def test_equal_numbers_of_any_kind_give_the_same_table(tmp_path, cells) -> None:
    other = replace(PLAIN, **cells)
    assert other == PLAIN
    assert table_text([other]) == table_text([PLAIN])
    assert table_hash([other]) == table_hash([PLAIN])
    write_table(tmp_path / "t.csv", [other])
    assert read_table(tmp_path / "t.csv") == [PLAIN]


@given(st.lists(RECORDS, min_size=1, max_size=5, unique_by=lambda row: row.seed))
def test_every_table_comes_back_as_it_was(tmp_path_factory, rows) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    write_table(path, rows)
    assert read_table(path) == rows


def test_a_parquet_table_is_read(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {
        "size": pa.array([14_000, 28_000]),
        "tokens": pa.array([Decimal("1e6"), Decimal("2e6")], pa.decimal128(20, 2)),
        "exposures": pa.array(["30", "1.5k"]).dictionary_encode(),
        "recall": [math.nan, 0.25],
        "retention": pa.nulls(2),
        "seed": pa.array([2**63 + 1, None], pa.uint64()),
        "held_out": [True, None],
        "note": [["x"], []],
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == [
        RunRecord(size=14_000, tokens=1e6, exposures=30, seed=2**63 + 1, held_out=True),
        RunRecord(size=28_000, tokens=2e6, exposures=1500, recall=0.25),
    ]


def test_a_missing_dose_unit_follows_from_the_other(tmp_path) -> None:
    header = "size,tokens,exposures,share,recall,facts,tokens_per_fact\n"
    first, second = read(tmp_path, header + "1e4,1e6,50,,.5,100,20\n1e4,1e6,,.2,.5,100,20\n")
    assert first.share == pytest.approx(0.1)
    assert second.exposures == pytest.approx(100)


@pytest.mark.parametrize(
    "header",
    [
        "N,D,k,acc",
        "Model Size,Training Tokens,Infusion-Frequency,Exact Match",
        "n_params,train_tokens,duplicates,memorization",
        "NON_EMBEDDING_PARAMS,tokens,epochs,Recall",
    ],
)
def test_usual_names_are_understood_and_unknown_ones_ignored(tmp_path, header) -> None:
    (row,) = read(tmp_path, f"{header},gpus,train_loss\n1e6,2e7,16,.5,0;1,3.2\n")
    assert row == RunRecord(size=1e6, tokens=2e7, exposures=16, recall=0.5)


@pytest.mark.parametrize("name", ["Epochs", "k", "frequency", "repeats", "repetitions", "n repetitions"])
def test_a_name_that_trainers_use_for_something_else_is_a_dose_only_without_another(tmp_path, name) -> None:
    head = f"size,tokens,{name},recall"
    assert read(tmp_path, f"{head}\n9k,9k,3,.5\n") == [run(share=None, exposures=3)]
    assert read(tmp_path, f"{head},mix\n9k,9k,3,.5,.5\n") == [run()]
    assert read(tmp_path, f"{head},exposures\n9k,9k,3,.5,7\n") == [run(share=None, exposures=7)]
    assert read(tmp_path, f"{head},insertions,share\n9k,9k,3,.5,7,.5\n") == [run(exposures=7)]
    assert read(tmp_path, f"{head},share\n9k,9k,3,.5,NA\n") == [run(share=None, exposures=3)]


def opposed(tmp_path, *doses: tuple[float, float], places: str = "9k,9k,") -> str | None:
    """What is said of rows with these shares and exposures; None when they are read."""
    rows = [f"{places}{share},{exposures},.5,{seed}" for seed, (share, exposures) in enumerate(doses)]
    try:
        read(tmp_path, "size,tokens,share,insertions,recall,seed\n" + "\n".join(rows))
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("doses", "rows"),
    [
        ([(0.1, 30), (0.2, 20), (0.3, 10)], (3, 2)),
        ([(0.2, 20), (0.1, 5), (0.3, 10)], (4, 2)),
        ([(0.3, 10), (0.1, 11.5)], (3, 2)),
        ([(0.3, 0), (0.1, 1)], (3, 2)),
        ([(0.0, 5), (0.1, 1)], (3, 2)),
        ([(0.01, 1), (0.1, 1)], (3, 2)),
        ([(0.5, 1), (0.5, 100)], (3, 2)),
    ],
)
def test_share_and_exposures_that_run_opposite_ways_are_refused_with_both_rows(tmp_path, doses, rows) -> None:
    message = opposed(tmp_path, *doses)
    assert message is not None
    assert re.search(rf"row {rows[0]}: .* contradict row {rows[1]}, .*\"share\" or \"insertions\"", message)


@pytest.mark.parametrize(
    "doses",
    [
        [(0, 0), (0.001, 0), (0.002, 1), (0.004, 1), (0.01, 3), (0.9, 270)],  # rounded to whole statements
        [(0.01, 2.6), (0.01, 5.9), (0.02, 6.1)],  # rounded to whole percents
        [(0.3, 98), (0.3002, 97), (0.2999, 101)],  # seeds realise a dose a little differently
        [(0, 1), (0.1, 10)],
    ],
)
def test_share_and_exposures_may_differ_by_rounding(tmp_path, doses) -> None:
    assert opposed(tmp_path, *doses) is None


def test_share_and_exposures_are_compared_within_a_size_token_count_and_number_of_facts(tmp_path) -> None:
    head = "size,tokens,share,exposures,recall,facts,seed\n"
    first = "9k,9k,.1,30,.5,64,1\n"
    for other in ("8k,9k,.2,10,.5,64,2\n", "9k,8k,.2,10,.5,64,2\n", "9k,9k,.2,10,.5,640,2\n"):
        assert len(read(tmp_path, head + first + other)) == 2
    assert "row 3: share 0.2" in refusal(tmp_path, head + first + "9k,9.003k,.2,10,.5,64,2\n")


def test_no_name_means_two_columns() -> None:
    plain = [re.sub("[ _-]", "", name).lower() for column in FIELDS for name in names_of(column)]
    assert len(plain) == len(set(plain))


def test_a_standard_error_goes_by_any_name_of_its_score(tmp_path) -> None:
    (row,) = read(tmp_path, one_row(**{"acc_stderr": "2%", "bpb sem": "0.01", "bpb": "1.1"}))
    assert row == run(recall_se=0.02, val_bpb=1.1, val_bpb_se=0.01)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1.3B", 1_300_000_000),
        ("160M", 160_000_000),
        ("160 m", 160_000_000),
        ("25k", 25_000),
        ("0.07b", 70_000_000),
        ("2T", 2e12),
        ("1e9", 1e9),
        ("1,300,000", 1_300_000),
        ("1_300_000", 1_300_000),
    ],
)
def test_counts_are_read_as_people_write_them(tmp_path, written, size) -> None:
    assert read(tmp_path, one_row(size=written, tokens=written)) == [run(size=size, tokens=size)]


def test_percent_is_read_by_its_sign(tmp_path) -> None:
    assert read(tmp_path, one_row(share="30%", recall="85 %", chance="12.5%")) == [
        run(share=0.3, recall=0.85, chance=0.125)
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("Yes", True), ("1", True), ("1.0", True), ("FALSE", False), ("no", False)]
)
def test_held_out_is_a_word_or_a_digit(tmp_path, text, value) -> None:
    assert read(tmp_path, one_row(held_out=text)) == [run(held_out=value)]


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "null", "None"])
def test_a_missing_score_is_none(tmp_path, cell) -> None:
    assert read(tmp_path, one_row(recall=cell, seed=cell, held_out=cell)) == [run(recall=None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size,tokens,share\n9k,9k,.5\n", "recall (or another of retention"),
        ("size,tokens,share,recal\n9k,9k,.5,.5\n", "--column recall=recal"),
        ("size,tokens,exposure,recall\n9k,9k,.5,.5\n", "--column exposures=exposure"),
        (
            "size,Params,tokens,share,recall\n1,1,1,.5,.5\n",
            '"size" and "Params" may both be size; choose: --column size=',
        ),
        ("size,tokens,epochs,k,recall\n9k,9k,1,5,.5\n", '"epochs" and "k" may both be exposures'),
        ("Wall time,Step,Value\n1,2,3\n", "one scalar of one run, as TensorBoard saves it"),
        ("size,tokens,share,recall\n", "no rows"),
        ("size,tokens,share,recall\n\n,,,\n", "no rows"),
    ],
)
def test_bad_columns_are_refused(tmp_path, text, message) -> None:
    assert message in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"size": "-1"}, 'row 2: "size" is -1, which must be above 0'),
        ({"size": ""}, 'row 2: "size" is empty'),
        ({"size": "0.2"}, 'row 2: "size" is 0.2, which is below 1,000; write parameters as 200M or 0.2B'),
        ({"tokens": "300"}, 'row 2: "tokens" is 300, which is below 1,000; write tokens as 300M or 300B'),
        ({"total_params": "1.3"}, '"total_params" (total_size) is 1.3, which is below 1,000; write parameters as 1.3M'),
        ({"size": "1.3X"}, "\"size\" is '1.3X', which is not a number"),
        ({"tokens": "many"}, "row 2: \"tokens\" is 'many'"),
        ({"tokens": "1e999"}, '"tokens" is inf, which is not finite'),
        ({"tokens": "30%"}, "\"tokens\" is '30%', which is not a number"),
        ({"share": "300"}, '"share" is 300, which must lie between 0 and 1'),
        ({"share": "1.5B"}, "\"share\" is '1.5B', which is not a number"),
        ({"share": "-.1"}, '"share" is -0.1, which must lie between 0 and 1'),
        ({"share": "1"}, "row 2: the share is 1, which leaves no general text"),
        ({"share": "100%"}, "row 2: the share is 1"),
        ({"share": ""}, "row 2: neither share nor exposures"),
        ({"recall": "850"}, '"recall" is 850, which must lie between 0 and 1'),
        ({"exposures": "0,500"}, "\"exposures\" is '0,500', which has a decimal comma"),
        ({"recall": "0,85"}, "\"recall\" is '0,85', which has a decimal comma"),
        ({"val_bpb": "1,300"}, "\"val_bpb\" is '1,300', which is not a number"),
        ({"acc_se": "-1"}, 'row 2: "acc_se" (recall_se) is -1'),
        (
            {"recall_se": "0.6"},
            "is more than a standard error can be of a score from 0 to 1; if it is percent, write it as 0.6%",
        ),
        ({"bpb": "-1.1"}, '"bpb" (val_bpb) is -1.1, which must be above 0'),
        ({"exposures": "-3"}, '"exposures" is -3, which must not be negative'),
        ({"seed": "1.5"}, '"seed" is 1.5, which must be a whole number'),
        ({"held_out": "maybe"}, "\"held_out\" is 'maybe', which is neither true nor false"),
        ({"facts": "0"}, '"facts" is 0, which must be above 0'),
    ],
)
def test_bad_cells_are_refused_with_the_row(tmp_path, cells, message) -> None:
    assert message in refusal(tmp_path, one_row(**cells))


@pytest.mark.parametrize("share", ["0,5", "0,25"])
def test_a_decimal_comma_between_semicolons_is_refused_where_the_column_is_read(tmp_path, share) -> None:
    head = "size;tokens;share;recall;note\n"
    message = f"row 2: \"share\" is '{share}', which has a decimal comma"
    assert message in refusal(tmp_path, head + f"9k;9k;{share};1;2\n")
    (row,) = read(tmp_path, f"{head}9k;9k;0.5;1;2,5\n")
    assert row.share == 0.5


def test_a_truth_value_is_no_number(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"size": [9e3], "tokens": [9e3], "share": [0.5], "recall": [True]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match='row 1: "recall" is True, which is not a number'):
        read_table(tmp_path / "t.parquet")


def test_dose_units_must_agree_within_a_tenth(tmp_path) -> None:
    known = {"tokens": "1e6", "share": ".1", "facts": "100", "tokens_per_fact": "20"}
    assert read(tmp_path, one_row(**known, exposures="54"))[0].exposures == 54
    message = refusal(tmp_path, one_row(**known, exposures="60"))
    assert "row 2: the share 0.1 makes 50 exposures" in message
    assert "60 are given; fix one of them" in message


@pytest.mark.parametrize("exposures", ["500", "600"])
def test_exposures_that_leave_no_general_text_are_refused(tmp_path, exposures) -> None:
    cells = {"tokens": "1e6", "share": "", "exposures": exposures, "facts": "100", "tokens_per_fact": "20"}
    message = refusal(tmp_path, one_row(**cells))
    assert f"row 2: {exposures} exposures of 100 facts of 20 tokens take a share of {int(exposures) / 500:g}" in message


def test_the_first_bad_row_is_named_and_the_others_counted(tmp_path) -> None:
    text = "size,tokens,share,recall\n9k,9k,.5,.5\n\n-1,9k,.5,x\n9k,9k,.5,.5\n"
    assert "row 4: " in refusal(tmp_path, text)
    assert refusal(tmp_path, text).endswith("(and 1 more row)")
    assert refusal(tmp_path, text + "9k,x,.5,.5\n").endswith("(and 2 more rows)")
    assert "more row" not in refusal(tmp_path, "size,tokens,share,recall\n9k,9k,.5,x\n")
    assert "row 3: the same" in refusal(tmp_path, "size,tokens,share,recall\n9k,9k,.5,.5\n9k,9k,.5,.5\n9k,9k,.5,x\n")


def test_diverged_runs_without_seeds_are_no_copies_of_each_other(tmp_path) -> None:
    row = "9k,9k,.5,,diverged\n"
    assert len(read(tmp_path, f"size,tokens,share,recall,status\n{row}{row}")) == 2


HEADER = "size,tokens,share,recall,recall_se,facts,seed\n"


@pytest.mark.parametrize("again", ["9k,9k,.5,.7,.1,9,3", "9000.0,9e3,50%,.6,,9,3"])
def test_a_run_given_twice_is_refused_with_both_rows(tmp_path, again) -> None:
    message = refusal(tmp_path, HEADER + f"9k,9k,.5,.7,.1,9,3\n9k,9k,.6,.7,.1,9,3\n{again}\n")
    assert "row 4: the same size, tokens, dose, facts and seed as row 2" in message


def test_a_run_given_twice_is_seen_in_either_dose_unit(tmp_path) -> None:
    header = "size,tokens,share,exposures,recall,facts,tokens_per_fact,seed\n"
    first, second = "9k,1e6,.3,,.5,7,19.3,1\n", f"9k,1e6,,{0.3 * 1e6 / (7 * 19.3):.12g},.5,7,19.3,1\n"
    assert read(tmp_path, header + first) != read(tmp_path, header + second)
    assert "row 3: the same size" in refusal(tmp_path, header + first + second)


def test_a_column_with_a_meaning_is_not_taken_for_a_misspelt_one(tmp_path) -> None:
    assert "did you mean" not in refusal(tmp_path, "size,tokens,share,cloze_accuracy\n9k,9k,.5,.5\n")


def test_runs_without_a_seed_may_repeat_but_not_in_every_score(tmp_path) -> None:
    scores = (".7,.1,9", ".8,.1,9", ".8,.2,9", ".8,.1,8")
    assert len(read(tmp_path, HEADER + "".join(f"9k,9k,.5,{score},\n" for score in scores))) == 4
    message = refusal(tmp_path, HEADER + "9k,9k,.5,.7,.1,9,\n9k,9k,.5,.7,.1,9,\n")
    assert "row 3: the same size, tokens, dose, facts and scores as row 2, and no seed; take one out" in message


def test_checkpoints_of_a_run_and_named_runs_without_a_seed_are_read(tmp_path) -> None:
    head = "size,tokens,share,recall,run,seed\n"
    assert len(read(tmp_path, head + "9k,9k,.5,.7,a,1\n9k,18k,.5,.7,a,1\n9k,18.01k,.5,.7,a,1\n")) == 3
    assert len(read(tmp_path, head + "9k,9k,.5,.7,a,\n9k,9k,.5,.7,b,\n")) == 2
    assert "row 3: the same size" in refusal(tmp_path, head + "9k,9k,.5,.7,a,\n9k,9k,.5,.7,a,\n")
    assert "row 3: the same size" in refusal(tmp_path, head + "9k,9k,.5,.7,a,1\n9k,9k,.5,.6,a,1\n")


def test_the_docs_name_every_column_and_every_other_name() -> None:
    runs, _, others = DOCS.read_text(encoding="utf8").partition("### Losses")
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", runs, re.MULTILINE)
    told = {column: tuple(re.findall(r"`(\w+)`", names)) for column, names in rows}
    assert told.pop("`recall_se` …")[-len(SE_ENDINGS) :] == SE_ENDINGS
    scores = {name for name in FIELDS if name.endswith("_se")}
    assert told == {f"`{name}`": ALIASES.get(name, ()) for name in FIELDS if name not in scores}
    more = [alias for name in (*LOSSES, *HELPERS) for alias in names_of(name) if name != "name"]
    assert all(f"`{name}`" in others for name in (*more, *UNITLESS))


def test_the_examples_in_the_docs_are_tables(tmp_path) -> None:
    first, second = re.findall(r"```\n(.*?)```", DOCS.read_text(encoding="utf8"), re.DOTALL)
    assert [row.share for row in read(tmp_path, first)] == [0, 0.05, 0.3]
    assert read(tmp_path, second)[0].share == pytest.approx(64 * 50_000 * 21.5 / 26e9)


def test_the_scores_of_a_diverged_run_do_not_count_and_other_words_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("size,tokens,share,recall,retention,status\n1e4,1e6,.1,.5,.4,ok\n1e4,1e6,.2,0,.1,Diverged\n")
    rows = read_table(path)
    assert [row.recall for row in rows] == [0.5, None] and rows[1].retention is None
    path.write_text("size,tokens,share,recall,status\n1e4,1e6,.1,.5,NaN\n")
    assert [(row.status, row.recall) for row in read_table(path)] == [("ok", 0.5)]
    path.write_text("size,tokens,share,recall,status\n1e4,1e6,.1,.5,weird\n")
    with pytest.raises(InputError, match=r"row 2.*'weird', which is no state of a run"):
        read_table(path)
    path.write_text("size,tokens,share,recall\n1e300,1e6,.1,.5\n")
    with pytest.raises(InputError, match=r"row 2.*more than can be"):
        read_table(path)


def test_runs_that_a_tracker_says_did_not_finish_have_no_scores_and_may_be_begun_again(tmp_path: Path) -> None:
    rows = ["finished,1,0.55", "crashed,2,0.11", "Running,3,", "KILLED,4,.09", "COMPLETED,4,.5", "out of memory,4,.2"]
    path = tmp_path / "t.csv"
    head = "State,seed,recall,n_params,train_tokens,domain_share\n"
    path.write_text(head + "".join(f"{row},1000000,1000000000,.1\n" for row in rows))
    read = [(row.status, row.recall) for row in read_table(path)]
    lost = ("unfinished", None)
    assert read == [("ok", 0.55), lost, lost, lost, ("ok", 0.5), lost]
    for column, states in {"job_state": "COMPLETED CANCELLED+", "sys/state": "done error", "finished": "1 0"}.items():
        rows = [f"1e6,1e9,.{i},1,0.5,{state}\n" for i, state in enumerate(states.split(), start=1)]
        path.write_text(f"size,tokens,share,seed,recall,{column}\n{''.join(rows)}")
        assert [(row.status, row.recall) for row in read_table(path)] == [("ok", 0.5), lost]


def append_rows(table: Path, seeds: range) -> None:
    for seed in seeds:
        append_row(table, replace(ROW, seed=seed, run=str(seed)))


def test_two_processes_that_add_rows_to_one_table_lose_none(tmp_path) -> None:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(partial(append_rows, tmp_path / "runs.csv"), [range(30), range(30, 60)]))
    assert sorted(row.seed for row in read_table(tmp_path / "runs.csv")) == [*range(60)]
