"""The pages of results, made from tables: a small simulated table in the place of every experiment's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.analysis.__main__ import check, main
from experiments.analysis.evidence import TRIALS, curves_of, read_prediction, table_hashes
from experiments.analysis.explanations import shift
from experiments.analysis.findings import EXPLANATIONS, Findings
from experiments.analysis.pages import render
from experiments.analysis.pairs import changes, paired
from experiments.analysis.studies import second_readings, seeds
from infusionlaw.errors import InputError
from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.compare import compare
from infusionlaw.law.planning.predictions import WrittenPredictions
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import write_table

COMMITTED = Path(__file__).parents[2] / "experiments"
SHARES = (0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.92, 0.97)
TARGET = (1.6e5, 1.5e6)
WORLD = World(collapse=TrueLaw(0.3, 0.3), retention=TrueLaw(0.1, 0.4), fall=0.5, spread=0.01, facts=400)
COPIES = "size,tokens,seed,val_bpb,repeated,rest,first,again\n1e5,1e6,1,2,1.5,2.1,5,4.93\n2e6,4e6,1,2,0.7,1.6,5,4.1\n"


@pytest.fixture(scope="module")
def rows() -> list[RunRecord]:
    found, _ = simulate(WORLD, (1e4, 4e4), TARGET[1:], SHARES, 1, np.random.default_rng(4))
    return [replace(row, verbatim_recall=1.0, unseen_recall=0.2, run=f"{i}") for i, row in enumerate(found)]


@pytest.fixture(scope="module")
def held() -> list[RunRecord]:
    found, _ = simulate(WORLD, TARGET[:1], TARGET[1:], SHARES, 1, np.random.default_rng(5))
    return [replace(row, held_out=True, run=f"held-{i}") for i, row in enumerate(found)]


def prediction(rows: list[RunRecord]) -> dict[str, Any]:
    """A prediction under old keys, from the table under its old columns: it holds the collapse of recall alone."""

    def ends(value: float, low: float, high: float) -> dict[str, dict[str, float]]:
        return {unit: {"value": value, "low": low, "high": high} for unit in ("share", "exposures")}

    score = {"value": 0.5, "low": 0.0, "high": 1.0}
    said = {"recall": score, "retention": score, "general_loss": {"value": 2.3, "low": 2.2, "high": 2.36}}
    plan = {
        "target": {"size": TARGET[0], "tokens": TARGET[1], "facts": None},
        "collapse": ends(0.7, 0.01, 0.999),
        "retention": ends(0.2, 0.1, 0.3),
        "outlook": [{"name": "no dose", "share": 0.0, "exposures": 0.0, **said}],
    }
    made = {"written": "2026-11-26T00:00:00+00:00", "table": "fitted.csv", "table_sha256": table_hashes(rows)[1]}
    return made | {"held_out_runs_already_known": 0, "predictions": [plan]}


@pytest.fixture(scope="module")
def root(rows: list[RunRecord], held: list[RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("experiments")
    shutil.copytree(COMMITTED, folder, ignore=lambda _, names: [n for n in names if n == "analysis" or n.endswith((".csv", ".json"))], dirs_exist_ok=True)  # fmt: skip  # noqa: E501
    said = prediction(rows)
    for trial in TRIALS:
        own = [*(rows if trial.name == trial.base else []), *held]
        write(folder, trial.name, own)
        (folder / f"2026-11-26-{trial.name}" / "prediction.json").write_text(json.dumps(said))
    (folder / "2026-11-26-repaired" / "first-law.json").write_text(json.dumps(said["predictions"][0]))
    for name in ("millions", "onset", *(f"explanations/{name}" for name in EXPLANATIONS)):
        write(folder, name, rows)
    less = [replace(row, recall=(row.recall or 0.0) - 0.1) for row in rows]
    write(folder, "explanations/rate-half", less)
    for name in ("rates/half", "rates/quarter", "reference/cpu"):
        write_table(folder / f"2026-11-26-{name}.csv", rows)
    (folder / "2026-11-26-copying" / "runs.csv").write_text(COPIES)
    return folder


def write(root: Path, name: str, rows: list[RunRecord]) -> None:
    write_table(root / f"2026-11-26-{name}" / "runs.csv", rows)


@pytest.fixture(scope="module")
def pages(root: Path) -> dict[str, str]:
    return render(Findings(root))


def test_the_first_page_counts_the_points_and_what_each_prediction_held(pages: dict[str, str]) -> None:
    index = pages["index"]
    assert "| [main grid](reshaped.md) | recall | 2 of 2 |" in index
    assert "| collapse of recall | 11 of 11 | 1.00 [" in index
    assert "| collapse of retention | 0 of 11 | 0.00 [" in index
    assert index.count("| 160k at 1.5M | 1 of 1 (") == len(TRIALS)
    assert all(f"({name}.md)" in index or name in ("index", "rarer", "longer-again") for name in pages)


def test_a_study_has_a_page_with_its_prediction_and_what_came_of_it(pages: dict[str, str]) -> None:
    page = pages["longer-again"]
    assert "Written 2026-11-26 00:00:00 UTC, before the held-out runs" in page
    assert "| recall | 160k at 1.5M | 0.70 [0.01, 0.999] |" in page and "| held |" in page
    assert "| retention | 160k at 1.5M | 0.20 [0.10, 0.30] |" in page and "| missed |" in page
    assert "| validation loss | " in page


def test_runs_that_differ_in_one_setting_are_compared_in_pairs(pages: dict[str, str]) -> None:
    assert "| learning rate × ½ | -0.10 ± 0.00 | +0.00 ± 0.00 | +0.00 ± 0.00 |" in pages["explanations"]
    assert "| weight decay 0 | +0.00 ± 0.00 |" in pages["explanations"]


def test_pages_are_checked_against_those_in_a_folder(pages: dict[str, str], tmp_path: Path) -> None:
    for name, text in pages.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf8")
    check(pages, tmp_path)
    (tmp_path / "index.md").write_text(pages["index"].replace("11 of 11", "10 of 11"), encoding="utf8")
    with pytest.raises(SystemExit, match=r"index\.md: 11 → 10|index\.md: 10 → 11"):
        check(pages, tmp_path)
    (tmp_path / "index.md").unlink()
    with pytest.raises(SystemExit, match=r"index\.md: nothing"):
        check(pages, tmp_path)


def test_a_prediction_from_another_table_is_refused(root: Path, rows: list[RunRecord], tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    write(tmp_path, "reshaped", rows[1:])
    with pytest.raises(InputError, match="made from another table"):
        main(["--experiments", str(tmp_path), "--out", str(tmp_path / "pages"), "--check"])


def test_old_predictions_are_read_under_todays_names(tmp_path: Path) -> None:
    read = read_old(prediction([]), tmp_path)
    (written,) = read.predictions
    assert (read.written[:10], written.plan.target.size) == ("2026-11-26", TARGET[0])
    assert written.plan.points["collapse"].share == Interval(0.7, 0.01, 0.999)
    assert written.plan.forecast[0].scores["val_bpb"] == Interval(2.3, 2.2, 2.36)


def test_a_curve_has_at_least_four_doses(rows: list[RunRecord]) -> None:
    few = [replace(row, size=9e9) for row in rows if row.share in (0, 0.1, 0.3)]
    assert curves_of([*rows, *few]) == rows


def test_a_point_moves_by_the_difference_and_its_errors_add_in_quadrature() -> None:
    moved = shift(Interval(1.0, 0.7, 1.4), Interval(1.5, 1.1, 1.8))
    assert moved is not None and not moved.clear
    assert (moved.moved, moved.low, moved.high) == pytest.approx(
        (0.5, 0.5 - (0.4**2 + 0.4**2) ** 0.5, 0.5 + 0.3 * 2**0.5)
    )
    clear = shift(Interval(1.0, 0.9, 1.1), Interval(1.5, 1.4, 1.6))
    assert clear is not None and clear.clear
    assert shift(Interval(1.0, 0.7, 1.4), Interval(None, 1.2, None)) is None


def test_pairs_have_one_size_token_count_share_and_seed_and_lie_near_the_collapse() -> None:
    def run(share: float, seed: int, recall: float | None) -> RunRecord:
        return RunRecord(size=1000, tokens=5000, share=share, seed=seed, recall=recall)

    base = [run(0.85, 1, 0.5), run(0.85, 2, 0.6), run(0.4, 1, 0.7), run(0.92, 1, None)]
    changed = [run(0.8502, 1, 0.3), run(0.4, 1, 0.2), run(0.85, 3, 0.1), run(0.92, 1, 0.9)]
    pairs = paired(base, changed, 0.7)
    assert [(was.recall, now.recall) for was, now in pairs] == [(0.5, 0.3)]
    assert changes(pairs)["recall"].mean == pytest.approx(-0.2) and changes(pairs)["recall"].error is None


def test_single_runs_of_other_seeds_stand_beside_what_was_predicted_of_one(
    held: list[RunRecord], tmp_path: Path
) -> None:
    runs = [replace(held[0], seed=seed, val_bpb=loss) for seed, loss in ((4, 2.34), (5, 2.42))]
    comparison = compare(read_old(prediction([]), tmp_path), [], runs)
    found = seeds([], comparison, runs)
    assert (found["inside"], found["count"], found["seeds"]) == (1, 2, [4, 5])
    assert (found["apart"], found["reach"]) == pytest.approx((0.04, 0.08))


def read_old(content: dict[str, Any], folder: Path) -> WrittenPredictions:
    (folder / "prediction.json").write_text(json.dumps(content))
    return read_prediction(folder / "prediction.json")


def test_a_model_copies_where_a_second_reading_is_much_better(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(COPIES)
    found = second_readings(tmp_path / "runs.csv")
    assert [row["size"] for row in found["copying"]] == [2e6]
    assert found["most"] == pytest.approx(0.07)
