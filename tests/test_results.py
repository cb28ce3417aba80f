"""The page of results, made from tables."""

import shutil
from pathlib import Path

import pytest

from benchmarks.results import page, shift
from infusionlaw.law.dose import Interval

DEMO = Path(__file__).parent.parent / "docs" / "demo"


def test_a_point_moves_by_the_difference_and_its_errors_add_in_quadrature() -> None:
    moved = shift(Interval(1.0, 0.7, 1.4), Interval(1.5, 1.1, 1.8))
    assert (moved.moved, moved.low, moved.high) == pytest.approx(
        (0.5, 0.5 - (0.4**2 + 0.4**2) ** 0.5, 0.5 + 0.3 * 2**0.5)
    )
    assert "moved" not in moved.told
    assert "**moved**" in shift(Interval(1.0, 0.9, 1.1), Interval(1.5, 1.4, 1.6)).told


def test_a_bound_has_not_moved_by_any_number() -> None:
    assert shift(Interval(1.0, 0.7, 1.4), Interval(None, 1.2, None)) is None


def test_the_page_leaves_out_what_has_no_table(tmp_path) -> None:
    (tmp_path / "explanations").mkdir()
    shutil.copy(DEMO / "fitted.csv", tmp_path / "explanations" / "base.csv")
    text = page(tmp_path, tmp_path / "figures")
    assert "## The main grid" not in text
    assert text.count("| nothing changed |") == 6
