"""The page of results, made from tables."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.results.__main__ import agree, main
from benchmarks.results.copying import copying
from benchmarks.results.explanations import shift
from benchmarks.results.fresh import Fresh
from benchmarks.results.page import page
from benchmarks.results.pairs import paired
from benchmarks.results.seeds import seeds
from benchmarks.results.tradeoff import tradeoff_figure
from infusionlaw.files import read_json, write_json
from infusionlaw.law.dose import Interval
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table, write_table

DEMO = Path(__file__).parent.parent / "docs" / "demo"
TRIALS = (
    *("main grid", "grid with many heads", "main grid, law fixed", "main grid, law fixed again"),
    *("main grid, law fixed again: larger sizes", "main grid, deviation between seeds in its law"),
    *("second family up to 4 M", "second family up to 16 M"),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """The demonstration in place of the reference, its prediction, and an explanation that makes recall .1 lower."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "reference").mkdir()
    shutil.copy(DEMO / "table.csv", folder / "reference" / "runs.csv")
    shutil.copy(DEMO / "prediction.json", folder / "reference" / "prediction.json")
    rows = [replace(row, recall=max((row.recall or 0.0) - 0.1, 0.0)) for row in read_table(DEMO / "fitted.csv")]
    write_table(folder / "explanations" / "rate-half.csv", rows)
    return folder


@pytest.fixture(scope="module")
def fresh(results: Path, tmp_path_factory) -> Path:
    """The same with a fresh target, which the demonstration's held-out runs stand in for, and runs of a CPU."""
    folder = tmp_path_factory.mktemp("fresh") / "results"
    shutil.copytree(results, folder)
    prediction, rows = read_json(DEMO / "prediction.json"), read_table(DEMO / "table.csv")
    (folder / "repaired").mkdir()
    shutil.copy(DEMO / "prediction.json", folder / "repaired" / "prediction.json")
    first = prediction["predictions"][0]
    astray = {"share": {"value": 0.3, "low": 0.2, "high": 0.4}, "exposures": {"value": 9, "low": 8, "high": 10}}
    write_json(folder / "repaired" / "first-law.json", first | {"collapse": astray})
    write_table(folder / "repaired" / "runs.csv", [row for row in rows if row.held_out])
    cpu = [replace(row, val_bpb=(row.val_bpb or 0.0) + 0.25) for row in rows if not row.held_out][:10]
    write_table(folder / "reference" / "cpu.csv", cpu)
    return folder


def test_the_fresh_target_of_the_mended_law_stands_beside_what_the_first_law_says_of_it(fresh: Path, tmp_path) -> None:
    text = page(fresh, tmp_path / "figures")
    seen = "0.87 [0.78, 0.93]"
    mended = text.partition("## The fixed law")[2].partition("\n## ")[0]
    assert f"| collapse | 111k | 1.5M | share | 0.75 [0.45, 0.93] | {seen} | +0.35 | hit |" in mended
    assert f"| collapse | 111k | 1.5M | share | 0.30 [0.20, 0.40] | {seen} | +1.20 | miss |" in mended
    assert "| first grid, law fixed | 111k at 1.5M | 1 of 1 (+0.35) | 1 of 1 (" in text
    assert "the 90 % intervals held 2 of 2 predictions of the collapse of recall, 2 of 2 predictions of the" in text


def test_the_same_runs_on_a_cpu_are_compared_in_pairs(fresh: Path, tmp_path) -> None:
    text = page(fresh, tmp_path / "figures")
    assert (
        "| fp32, below half a million | 10 | 10 | +0.00 ± 0.00 | +0.00 ± 0.00 | +0.00 ± 0.00 | -0.25 ± 0.00 |" in text
    )


def test_a_point_moves_by_the_difference_and_its_errors_add_in_quadrature() -> None:
    moved = shift(Interval(1.0, 0.7, 1.4), Interval(1.5, 1.1, 1.8))
    assert moved is not None
    assert (moved.moved, moved.low, moved.high) == pytest.approx(
        (0.5, 0.5 - (0.4**2 + 0.4**2) ** 0.5, 0.5 + 0.3 * 2**0.5)
    )
    assert "moved" not in moved.told
    clear = shift(Interval(1.0, 0.9, 1.1), Interval(1.5, 1.4, 1.6))
    assert clear is not None and "**moved**" in clear.told


def test_a_bound_has_not_moved_by_any_number() -> None:
    assert shift(Interval(1.0, 0.7, 1.4), Interval(None, 1.2, None)) is None


def test_pairs_have_one_size_budget_share_and_seed_and_lie_near_the_collapse() -> None:
    def run(share: float, seed: int, recall: float | None) -> RunRecord:
        return RunRecord(size=1000, tokens=5000, share=share, seed=seed, recall=recall)

    base = [run(0.85, 1, 0.5), run(0.85, 2, 0.6), run(0.4, 1, 0.7), run(0.92, 1, None)]
    changed = [run(0.8502, 1, 0.3), run(0.4, 1, 0.2), run(0.85, 3, 0.1), run(0.92, 1, 0.9)]
    assert [(was.recall, now.recall) for was, now in paired(base, changed, 0.7)] == [(0.5, 0.3)]


def test_the_page_says_what_its_tables_say(results: Path, tmp_path: Path) -> None:
    text = page(results, tmp_path / "figures")
    assert "was found in 3 of 3 sizes and token counts. A collapse of retention was found in 3 of 3" in text
    assert "48 runs of 696 that the study asks for; the rest has not been run yet." in text
    assert "the 90 % intervals held 1 of 1 predictions of the collapse of recall" in text
    assert "| first grid | 111k at 1.5M | 1 of 1 (+0.35) | 1 of 1" in text
    assert "| collapse | 111k | 1.5M | share | 0.75 [0.45, 0.93] | 0.87 [0.78, 0.93] | +0.35 | hit |" in text
    assert "| 13.9k | 1.5M | 0.36 [0.19, 0.53] | 0.64 [0.43, 0.94] | 0.71 [0.24, 0.91] |" in text
    assert "| learning rate × ½ | 24 | -0.10 ± 0.00 | +0.00 ± 0.00 | +0.00 ± 0.00 | +0.00 ± 0.00 | 6 of 6 | 0 |" in text
    names = {path.name for path in (tmp_path / "figures" / "main").iterdir()}
    assert names >= {"dose-response.png", "law.png", "validation-loss.png", "tradeoff.png"}
    assert all(f"(figures/main/{name})" in text for name in names if name.endswith(".png"))


def test_a_later_grid_takes_the_place_of_the_first_and_a_second_family_stands_beside_it(
    results: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    shutil.copytree(folder / "reference", folder / "reshaped")
    shutil.copytree(folder / "reference", folder / "larger")
    (folder / "millions").mkdir()
    shutil.copy(DEMO / "fitted.csv", folder / "millions" / "runs.csv")
    rows = read_table(DEMO / "table.csv")
    held = [row for row in rows if row.held_out]
    write_table(folder / "larger" / "runs.csv", [*rows, *(replace(row, size=row.size * 50) for row in held)])
    many = [replace(row, recall=(row.recall or 0.0) / 2, val_bpb=(row.val_bpb or 0.0) + 0.25) for row in rows]
    main = ("longer", "longer-again", "longer-larger", "other-seeds")
    for name, runs in (("extended", many), ("rarer", rows), *((name, held) for name in main)):
        write_table(folder / name / "runs.csv", runs)
        shutil.copy(DEMO / "prediction.json", folder / name / "prediction.json")
    text = page(folder, tmp_path / "figures")
    assert "In the second family: a collapse of recall was found in 3 of 3 sizes and token counts." in text
    assert all(f"| {law} | 111k at 1.5M |" in text for law in TRIALS)
    assert text.partition("## Many heads or few")[2].partition("\n## ")[0].count("| -0.25 ± 0.00 |") == 3
    oftener = text.partition("### Share, or statements of prior facts")[2].partition("\n## ")[0]
    assert "The odds of the share differ by a factor of 1.0, the statements by one of 0.3" in oftener
    order = [
        "## The main grid",
        "## Predictions before",
        "## The law fixed",
        "## What a seed does",
        "## A second family",
        "## The first law",
        "## Many heads",
        "## What might",
    ]
    assert [text.index(head) for head in order] == sorted(text.index(head) for head in order)
    assert "13.9k to 5.55M parameters" in text and "(figures/second/law.png)" in text
    mended = text.partition("## The law fixed")[2].partition("\n## ")[0]
    assert "### And again" in mended and mended.count("| collapse | 111k | 1.5M | share |") == 3
    shifts = text.partition("## What a seed does")[2].partition("\n## ")[0]
    assert "| 1.5M | 3 | +0.0" in shifts
    second = text.partition("## A second family")[2].partition("\n## ")[0]
    assert second.count("| collapse | 111k | 1.5M | share |") == 2


def test_smaller_doses_stand_beside_what_the_main_grids_law_says_of_the_point(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    rows = [row for row in read_table(DEMO / "fitted.csv") if not row.share]
    lower = [replace(row, share=share, exposures=None) for row in rows for share in (0.005, 0.01) if row.size < 5e4]
    write_table(folder / "onset" / "runs.csv", lower)
    text = page(folder, tmp_path / "figures").partition("## Where facts begin")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and "1.5M" in line]
    assert [line.split(" | ")[0] for line in lines] == ["| 13.9k", "| 28.3k"]
    assert "up to 0.01 " in text and "Of the 0 that it knew by a bound alone 0 were found" in text


def test_single_runs_of_other_seeds_stand_beside_what_was_said_of_one() -> None:
    held = [row for row in read_table(DEMO / "table.csv") if row.held_out]
    nowhere = {"value": None, "low": None, "high": None}
    said = {"name": "no dose", "share": 0.0, "exposures": 0.0, "recall": nowhere, "retention": nowhere}
    forecast = said | {"val_bpb": {"value": 2.3, "low": 2.2, "high": 2.36}}
    plan = {"target": {"size": 110928, "tokens": 1499136}, "forecast": [forecast]}
    fresh = Fresh({"written": "", "table_sha256": "", "predictions": [plan]}, [], held)
    text = seeds([], fresh).replace("\n", " ")
    assert "without a dose 1 of 2 lie within what was said of one run; that is 2 seeds" in text
    assert "They lie 0.013 from the mean of their size" in text and "what was said reaches 0.08" in text
    assert "| 111k | 1.5M | 2.30 [2.20, 2.36] | 2.37 | 2.35 |" in text
    untold = Fresh({"written": "", "table_sha256": "", "predictions": [plan | {"forecast": []}]}, [], held)
    assert seeds(held[:1], untold) == ""


def test_copying_is_told_of_the_one_size_that_begins_to(tmp_path: Path) -> None:
    head = "size,tokens,seed,val_bpb,repeated,rest,first,again"
    rows = [f"{size},{tokens},1,2,1.5,2.1,5,{5 - gain}" for size, tokens, gain in COPIES]
    (tmp_path / "runs.csv").write_text("\n".join([head, *rows]))
    text = copying(tmp_path / "runs.csv").replace("\n", " ")
    assert "Up to 100k the second reading gains 0.07 bits at most" in text
    assert "At 2M it gains 0.04 at 1M, 0.60 at 2M, 0.90 at 4M tokens, a number a seed" in text
    again = [f"2000000,{tokens},2,2,1.5,2.1,5,{5 - gain}" for tokens, gain in ((1_000_000, 0.1), (2_000_000, 0.15))]
    (tmp_path / "runs.csv").write_text("\n".join([head, *rows, *again]))
    text = copying(tmp_path / "runs.csv").replace("\n", " ")
    assert "At 2M it gains 0.04 and 0.10 at 1M, 0.60 and 0.15 at 2M, 0.90 at 4M tokens, a number a seed" in text
    one_seed_does_not = "2000000,4000000,2,2,1.5,2.1,5,5"
    for wrong in ("3000000,1000000,1,2,1.5,2.1,5,5", "2000000,8000000,1,2,1.5,2.1,5,5", one_seed_does_not):
        (tmp_path / "runs.csv").write_text("\n".join([head, *rows, wrong]))
        assert "second reading gains" not in copying(tmp_path / "runs.csv").replace("\n", " ")
    assert copying(tmp_path / "nothing.csv") == ""


COPIES = (
    *((100_000, 1_000_000, 0.01), (100_000, 2_000_000, 0.07)),
    *((2_000_000, 1_000_000, 0.04), (2_000_000, 2_000_000, 0.6), (2_000_000, 4_000_000, 0.9)),
)


def test_the_page_leaves_out_what_has_no_table(results: Path, tmp_path: Path) -> None:
    (tmp_path / "bare" / "reference").mkdir(parents=True)
    shutil.copy(results / "reference" / "runs.csv", tmp_path / "bare" / "reference")
    text = page(tmp_path / "bare", tmp_path / "figures")
    assert "Not tested yet" in text and "Predictions before" not in text and "explain it away" not in text
    assert page(tmp_path / "nothing", tmp_path / "figures").startswith("# Results")


def test_the_trade_off_has_a_panel_a_budget_and_a_line_a_size() -> None:
    rows = read_table(DEMO / "table.csv")
    figure = tradeoff_figure([*rows, *(replace(row, tokens=3e6) for row in rows)])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["1.5M tokens", "3M tokens"]
    lines = [line for line in figure.axes[0].get_lines() if not str(line.get_label()).startswith("_")]
    assert [line.get_label() for line in lines] == ["13.9k", "28.3k", "55.5k", "111k"]
    assert all(len(line.get_xdata()) == 8 for line in lines)


def test_a_check_asks_for_the_same_tables_and_words_not_for_the_same_digits() -> None:
    page = "# Results\n| 0.31 [0.12, 0.50] | found |\n## Made from\n- `a.csv` 12ab"
    assert agree(page, page.replace("0.31", "0.32"))
    assert not agree(page, page.replace("found", "not reached"))
    assert not agree(page, page.replace("12ab", "13ab"))


def test_a_check_fails_where_the_page_is_out_of_date(results: Path, tmp_path: Path) -> None:
    arguments = ["--results", str(results), "--out", str(tmp_path / "results.md")]
    with pytest.raises(SystemExit, match="was out of date"):
        main([*arguments, "--check"])
    main([*arguments, "--check"])


def test_the_committed_page_is_made_from_the_committed_tables() -> None:
    root = Path(__file__).parent.parent
    made = (root / "docs" / "results.md").read_text(encoding="utf8").partition("## Made from")[2]
    named = dict(line[2:].rsplit(" ", 1) for line in made.strip().splitlines())
    assert named
    for name, digest in named.items():
        assert hashlib.sha256((root / "results" / name.strip("`")).read_bytes()).hexdigest().startswith(digest)
