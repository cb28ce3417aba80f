"""The comparison of search and grid: both read the same runs, ratios are honest, folders lie side by side."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import numpy as np
import pytest
from fakelab import FakeLab

from benchmarks.search import FAMILY, Outcome, Pair, _halved, fixed, folders, main, ratio, study_file, tables
from benchmarks.studies import DESIGNS, draw
from infusionlaw.law.design.look import LOCATED, NONE, SPENT
from infusionlaw.law.design.simulate import TrueLaw, World
from infusionlaw.law.dose import Interval
from infusionlaw.pipeline import run_study
from infusionlaw.study.search import tried


def outcome(over: str, flops: float, truth: float | None = 0.5) -> Outcome:
    return Outcome(10, flops, over, Interval(0.5, 0.4, 0.6), truth, truth is not None)


def test_a_ratio_needs_one_design_that_is_done() -> None:
    done, spent = outcome(LOCATED, 2.0), outcome(SPENT, 3.0)
    assert ratio([Pair("a", 0, done, (outcome(LOCATED, 8.0),))]) == 0.25
    assert ratio([Pair("a", 0, spent, (done,))]) == inf
    assert ratio([Pair("a", 0, done, (outcome(SPENT, 10.0),))]) == 0.2
    assert ratio([Pair("a", 0, spent, (spent,))]) is None
    assert ratio([Pair("a", 0, outcome(NONE, 1.0), (done,))]) == inf  # nothing is in range, it says, and something is


def test_the_one_grid_for_all_is_done_about_as_often_as_the_search() -> None:
    late = tuple(outcome(over, flops) for over, flops in ((SPENT, 4.0), (SPENT, 8.0), (LOCATED, 16.0)))
    early = tuple(outcome(LOCATED, flops) for flops in (4.0, 8.0, 16.0))
    pairs = [Pair("a", i, outcome(LOCATED, 2.0), grids) for i, grids in enumerate((late, late, early))]
    assert fixed(pairs) == 2 and fixed(pairs[2:]) == 0
    assert [pair.grid.flops for pair in pairs] == [16.0, 16.0, 4.0]
    assert (
        "One grid for all, 10 runs a curve: done with 1.00 of the curves (search 1.00); median ratio of FLOPs 0.12"
        in (tables(pairs))
    )


def test_an_interval_holds_its_truth_and_one_that_never_happens_only_if_open() -> None:
    assert outcome(LOCATED, 1.0).held
    assert not outcome(LOCATED, 1.0, None).held
    assert Outcome(10, 1.0, NONE, Interval(low=0.4), None, False).held


def test_the_grids_are_nested_and_grow() -> None:
    file = study_file(draw(DESIGNS[0], np.random.default_rng(1)), 96)
    grids = [_halved(file, halvings) for halvings, _ in FAMILY]
    assert all(set(a) <= set(b) <= {0.0, *tried(file)} for a, b in pairwise(grids))
    runs = [len(doses) * seeds for doses, (_, seeds) in zip(grids, FAMILY, strict=True)]
    assert all(1.5 < b / a < 2.5 for a, b in pairwise(runs))


def test_the_tables_count_what_is_done_and_what_holds() -> None:
    pairs = [Pair("a", i, outcome(LOCATED, 1.0), (outcome(LOCATED, 4.0),)) for i in range(3)]
    pairs.append(Pair("l", 0, replace(outcome(NONE, 1.0, None), x=Interval(low=0.4)), (outcome(SPENT, 8.0, None),)))
    text = tables(pairs)
    assert "| all | 4 | 1.00 | 0.75 | 10 | 10 | 0.25 | 4 | 0 | 1.000 ± 0.000 |" in text
    assert "the search is done with every curve in 4 of 4, the grids in 3" in text
    assert "1 of 1 are told so, 0 are given a place" in text


def test_finished_folders_lie_side_by_side(tmp_path, capsys) -> None:
    text = 'name = "s"\n[design]\nDESIGNsizes = [14_000]\ntokens = [1_500_000]\nshares = [0.1, 0.3, 0.6, 0.8, 0.97]\n'
    for name, line in (("search", 'design = "search"\n'), ("grid", "")):
        (tmp_path / f"{name}.toml").write_text(text.replace("DESIGN", line) + "[search]\nruns = 12\n")
        run_study(tmp_path / f"{name}.toml", tmp_path / name, FakeLab(World(collapse=TrueLaw(0.3), spread=0.01)))
    main(["--compare", str(tmp_path / "search"), str(tmp_path / "grid")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| grid | 14k | 1.5M | 12 | 1.51e+12 |")
    assert lines[3].startswith("| search | 14k | 1.5M | ")
    assert lines[-1].startswith("FLOPs: search ") and folders(tmp_path / "search", tmp_path / "grid")


@pytest.mark.slow
def test_a_study_is_drawn_searched_and_tabled(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.search.FAMILY", FAMILY[:2])  # the larger grids take most of the time
    main(["--studies", "1", "--kinds", "a", "--runs", "12", "--out", str(tmp_path / "search.md")])
    assert "1 studies, seed 1, at most 12 runs of a curve" in (tmp_path / "search.md").read_text()
