"""The study files that the project stands on, and the tables of their runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from infusionlaw.errors import InputError
from infusionlaw.runs.table import read_table
from infusionlaw.settings import read_study_file

STUDIES = Path(__file__).parent.parent / "studies"
RESULTS = STUDIES.parent / "results"
FILES = sorted(STUDIES.rglob("*.toml"))
OLDER = [path for path in FILES if "\nrecipe = 1" in path.read_text() or "\nrecipe = 2" in path.read_text()]


@pytest.mark.parametrize("path", [path for path in FILES if path not in OLDER], ids=lambda path: path.stem)
def test_a_study_file_is_valid_and_named_as_its_file(path) -> None:
    assert read_study_file(path).name == path.stem


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_a_study_of_an_older_recipe_is_refused(path) -> None:
    with pytest.raises(InputError):
        read_study_file(path)


@pytest.mark.parametrize(("grid", "largest", "runs"), [("extended", 270_000, 609), ("reshaped", 160_000, 522)])
def test_a_later_grid_begins_with_the_runs_of_the_reference_that_both_recipes_make_alike(grid, largest, runs) -> None:
    first, later = ({_run(row): row for row in read_table(RESULTS / name / "runs.csv")} for name in ("reference", grid))
    both = [key for key in first if key in later and key[0] < 1.05 * largest and not key[-1]]
    assert len(both) == runs
    assert all(replace(first[key], run="") == replace(later[key], run="") for key in both)


def test_the_second_family_has_the_runs_of_its_first_study_and_holds_out_none_of_them() -> None:
    first, now = (
        {_run(row)[:-1]: row for row in read_table(RESULTS / name / "runs.csv")} for name in ("rarer", "larger")
    )
    both = first.keys() & now.keys()
    assert len(both) == 95 and {key for key in first if key[0] < 5e6} <= both
    assert all(replace(first[key], run="", held_out=False) == replace(now[key], run="") for key in both)


def _run(row) -> tuple[float, float, float, int, bool]:
    return row.size, row.tokens, row.share, row.seed, row.held_out
