"""Rows that count once: jitter read as one place, copies left out, checkpoints of a run weighed as one."""

from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from infusionlaw.law.covariates import SAME, distinct
from infusionlaw.law.merging import checkpoint_weights, merged
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table

DEMO = Path(__file__).parents[2] / "docs" / "demo" / "table.csv"
ROW = RunRecord(size=14e3, tokens=1e6, share=0.3, recall=0.612, val_bpb=1.2345, seed=1)


def at_tokens(*tokens: float, **cells) -> list[RunRecord]:
    """A row each, whose scores and seeds differ."""
    return [replace(ROW, tokens=n, recall=0.5 + i / 997, seed=i, **cells) for i, n in enumerate(tokens)]


def unchanged(rows: list[RunRecord]) -> bool:
    return merged(rows) == (rows, ())


def test_a_table_without_jitter_and_copies_comes_back_as_it_is() -> None:
    assert unchanged(read_table(DEMO))
    assert unchanged([])
    assert unchanged(at_tokens(1e6, 1.011e6, 1.023e6, 2e6))


def test_sizes_and_tokens_within_one_percent_are_read_as_the_most_frequent() -> None:
    rows = at_tokens(1e6, 0.999e6, 1e6, 1.004e6, 2e6, 2.001e6)
    found, remarks = merged(rows)
    assert [row.tokens for row in found] == [1e6, 1e6, 1e6, 1e6, 2e6, 2e6]
    assert [replace(row, tokens=old.tokens) for row, old in zip(found, rows, strict=True)] == rows
    assert remarks == ("3 token counts lie within 1 % of 2 others and are read as those.",)
    found, remarks = merged([ROW, replace(ROW, size=14_010, recall=0.7, seed=2)])
    assert [row.size for row in found] == [14_000, 14_000]
    assert remarks == ("1 size lies within 1 % of another and is read as that one.",)


def test_tokens_of_every_run_its_own_are_as_many_as_were_meant() -> None:
    rng = np.random.default_rng(0)
    rows = at_tokens(*(np.repeat([1e6, 2e6, 4e6], 18) * rng.uniform(0.999, 1.001, 54)).tolist())
    found, (remark,) = merged(rows)
    assert len({row.tokens for row in found}) == distinct([row.tokens for row in rows]) == 3
    assert remark == "51 token counts lie within 1 % of 3 others and are read as those."


@pytest.mark.parametrize("seed", range(20))
def test_merging_again_changes_nothing(seed) -> None:
    rng = np.random.default_rng(seed)
    tokens = 1e6 * SAME ** rng.integers(0, 40, 60) ** rng.uniform(0.5, 1)
    rows = [replace(row, run=f"r{i % 9}", held_out=i % 4 == 0) for i, row in enumerate(at_tokens(*tokens.tolist()))]
    found, _ = merged(rows)
    places = sorted({row.tokens for row in found})
    assert distinct(places) == len(places) < len(set(tokens))
    assert merged(found)[0] == found


def test_held_out_rows_join_a_fitted_place_and_do_not_move_it() -> None:
    fitted = at_tokens(1e6, 2e6)
    found, _ = merged([*at_tokens(1.003e6, 1.003e6, 3e6, 3.001e6, 3.001e6, held_out=True), *fitted])
    assert [row.tokens for row in found if row.held_out] == [1e6, 1e6, 3.001e6, 3.001e6, 3.001e6]
    assert [row for row in found if not row.held_out] == fitted


def test_many_rows_take_no_time() -> None:
    rows = at_tokens(*np.random.default_rng(0).uniform(1e6, 1.5e6, 20_000).tolist())
    start = process_time()
    merged(rows)
    assert process_time() - start < 5


def test_a_row_that_gives_a_named_run_again_is_left_out() -> None:
    first, other = replace(ROW, run="a"), replace(ROW, run="b", recall=0.7, seed=3)
    again = replace(first, seed=2, recall=0.65)
    found, remarks = merged([first, other, again, replace(again, tokens=1.002e6, seed=3)])
    assert found == [first, other]
    assert remarks[1:] == (
        "2 rows give a run again at the same size, tokens and dose and are left out; "
        "give every run its own name in the column run if they are not the same.",
    )


@pytest.mark.parametrize("cells", [{"size": 28e3}, {"share": 0.6}, {"share": 0.0}, {"facts": 9.0}])
def test_a_name_of_a_whole_sweep_says_nothing(cells) -> None:
    rows = [replace(ROW, run="sweep"), replace(ROW, run="sweep", seed=2, recall=0.7)]
    assert merged(rows)[0] == rows[:1]
    rows += [replace(ROW, run="sweep", seed=3, **cells), replace(ROW, run="sweep", tokens=2e6)]
    assert unchanged(rows)
    assert set(checkpoint_weights(rows).values()) == {1}


def test_rows_that_agree_in_every_score_are_copies_whatever_their_seeds_and_names() -> None:
    rows = [ROW, replace(ROW, share=0.4), replace(ROW, seed=2, run="x"), replace(ROW, recall=0.613, seed=3)]
    found, remarks = merged(rows)
    assert found == [rows[0], rows[1], rows[3]]
    assert remarks == (
        "1 row agrees with an earlier one in size, tokens, dose and every score to the last digit: "
        "it is a copy and is left out.",
    )


@pytest.mark.parametrize(
    "scores",
    [
        {"recall": 1.0, "retention": 0.0, "val_bpb": None},
        {"recall": 1.0, "val_bpb": 1.23456789},  # one that says something is not enough
        {"recall": 0.125, "chance": 0.125, "val_bpb": 1.23456789},
        {"recall": 0.625, "retention": 0.375, "val_bpb": None},  # of eight facts: chance would do
        {"recall": 40 / 64, "retention": 33 / 64, "val_bpb": None},
        {"recall": None, "val_bpb": None, "status": "diverged"},
        {"recall": 0.612, "val_bpb": 1.2345, "held_out": True},
    ],
)
def test_runs_that_may_agree_by_chance_are_no_copies(scores) -> None:
    row = replace(ROW, held_out=False, **{k: v for k, v in scores.items() if k != "held_out"})
    assert unchanged([row, replace(row, seed=2, held_out=scores.get("held_out", False))])


def test_two_shares_of_many_facts_or_digits_tell_copies() -> None:
    for recall, retention in ((0.6182, 0.3921), (401 / 640, 333 / 640)):
        row = replace(ROW, recall=recall, retention=retention, val_bpb=None)
        assert merged([row, replace(row, seed=2)])[0] == [row]


def checkpoints(run: str, seed: int, *tokens: float) -> list[RunRecord]:
    return [replace(ROW, run=run, seed=seed, tokens=n, recall=0.5 + seed / 97 + n / 1e8) for n in tokens]


def test_checkpoints_of_a_run_count_as_one_run_together() -> None:
    rows = [*checkpoints("a", 1, 1e6, 2e6, 4e6), *checkpoints("b", 2, 1e6, 2.001e6), *checkpoints("", 3, 1e6)]
    found, remarks = merged(rows)
    assert len(found) == len(rows)
    assert remarks[-1] == (
        "2 runs appear at several token counts: these are checkpoints, and those of one run together count as one run."
    )
    assert checkpoint_weights(found) == {
        (14e3, 1e6): pytest.approx(3 / (3 + 2 + 1)),
        (14e3, 2e6): pytest.approx(2 / (3 + 2)),
        (14e3, 4e6): pytest.approx(1 / 3),
    }


def test_checkpoints_are_told_by_exposures_that_grow_with_the_tokens_too() -> None:
    rows = [replace(row, share=None, exposures=row.tokens / 1e5) for row in checkpoints("a", 1, 1e6, 2e6)]
    assert checkpoint_weights(rows) == {(14e3, 1e6): 0.5, (14e3, 2e6): 0.5}
    rows[1] = replace(rows[1], exposures=50.0)
    assert set(checkpoint_weights(rows).values()) == {1}


def test_a_name_with_several_seeds_is_several_runs() -> None:
    rows = [*checkpoints("a", 1, 1e6, 2e6), *checkpoints("a", 2, 4e6)]
    assert checkpoint_weights(rows) == {(14e3, 1e6): 0.5, (14e3, 2e6): 0.5, (14e3, 4e6): 1.0}


def test_held_out_rows_do_not_weigh_on_a_fitted_place() -> None:
    held = [replace(row, held_out=True) for row in checkpoints("a", 1, 1e6, 2e6, 4e6)]
    rows = [*held, *checkpoints("a", 1, 1e6), *checkpoints("b", 2, 1e6, 2e6)]
    assert checkpoint_weights(rows) == {
        (14e3, 1e6): pytest.approx(2 / (1 + 2)),
        (14e3, 2e6): 0.5,
        (14e3, 4e6): pytest.approx(1 / 3),
    }


def test_runs_that_are_no_checkpoints_count_in_full() -> None:
    rows = read_table(DEMO)
    assert checkpoint_weights(rows) == {(row.size, row.tokens): 1.0 for row in rows}
    assert checkpoint_weights([]) == {}
