"""What figures show, computed from simulated studies with known points."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from studied import HELD, SHARES, SIZES, Results, studied

from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.plot import coordinate, dose_axis
from infusionlaw.report.plotdata import Mark, Panel, by_tokens, panels


@pytest.fixture(scope="module")
def results() -> Results:
    return studied()


@pytest.fixture(scope="module")
def items(results: Results) -> list[Panel]:
    return panels(results[0], results[1])


def test_panels_come_in_order_of_size_with_the_held_out_last(items: list[Panel]) -> None:
    assert [(panel.size, panel.held_out) for panel in items] == [*((size, False) for size in SIZES), (HELD, True)]


def test_a_panel_shows_means_over_seeds_at_their_coordinates(results: Results, items: list[Panel]) -> None:
    panel, rows = items[0], [row for row in results[0] if row.size == SIZES[0]]
    assert panel.recall.x == pytest.approx([-np.inf, *log_odds(SHARES[1:])])
    for score, series in (
        ("recall", panel.recall),
        ("retention", panel.scores["retention"]),
        ("unseen_recall", panel.unseen),
    ):
        means = [np.mean([getattr(row, score) for row in rows if row.share == share]) for share in SHARES]
        assert series.mean == pytest.approx(means)
    assert len(panel.seeds) == len(rows) and all(half > 0 for half in panel.recall.half)
    assert panel.scores["verbatim_recall"].x == ()  # it was not measured


def test_a_panel_holds_the_fitted_shape_and_its_points(results: Results, items: list[Panel]) -> None:
    for panel in items:
        x, recall = (np.array(part) for part in panel.line)
        assert x[0] == pytest.approx(panel.recall.x[1]) and x[-1] == pytest.approx(panel.recall.x[-1])
        assert np.interp(panel.recall.x[1:], x, recall) == pytest.approx(panel.recall.mean[1:], abs=0.15)
        here = [point for point in results[1] if point.size == panel.size]
        assert {mark.kind: mark.x for mark in panel.marks} == {point.kind: point.x for point in here}


def test_a_place_both_fitted_and_held_out_keeps_its_own_points(results: Results) -> None:
    rows, points, *_ = results
    mine = [row for row in rows if row.size == SIZES[0]]
    first = next(point for point in points if point.kind == "collapse" and point.size == SIZES[0])
    second = replace(first, x=Interval(1.0, 0.9, 1.1), held_out=True)
    fitted, held = panels([*mine, *(replace(row, held_out=True) for row in mine)], [first, second])
    assert fitted.mark("collapse") == Mark("collapse", SIZES[0], first.x, first.status)
    assert held.mark("collapse") == Mark("collapse", SIZES[0], second.x, first.status)


def test_token_counts_that_differ_by_rounding_are_one(items: list[Panel]) -> None:
    tokens = (1.50e6, 1.52e6, 6.0e6, 6.1e6)
    sets = by_tokens([replace(items[0], tokens=t) for t in tokens])
    assert [[panel.tokens for panel in members] for members in sets] == [[1.50e6, 1.52e6], [6.0e6, 6.1e6]]
    assert by_tokens([]) == []


@pytest.mark.parametrize("unit", ["share", "exposures"])
def test_an_axis_holds_all_doses_and_labels_round_ones(unit: Any) -> None:
    doses = [0.1, 0.5, 0.98] if unit == "share" else [3, 40, 5000]
    axis = dose_axis([-np.inf, *coordinate(doses, unit)], unit, 0.1)
    at = [x for x, _ in axis.ticks]
    assert all(axis.low < x < axis.high for x in coordinate(doses, unit))
    assert axis.zero is not None and axis.place([-np.inf, 0.5]) == [axis.zero, 0.5] and axis.zero < axis.low
    assert len(at) >= 4 and min(np.diff(at)) >= 0.1 * (axis.high - axis.low) - 1e-9
    labels = {label: x for x, label in axis.ticks}
    assert labels["0.9" if unit == "share" else "100"] == pytest.approx(float(log_odds(0.9)) if unit == "share" else 2)
    assert dose_axis(coordinate(doses, unit), unit).zero is None


def test_coordinates_stay_finite_at_the_ends_of_a_share() -> None:
    assert np.isfinite(coordinate([0.0, 1.0], "share")).all()
    assert coordinate([100.0], "exposures") == (2.0,)
