"""What figures show, computed from simulated studies with known points, and the files that are drawn."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.plot import coordinate, dose_axis
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.law import Law
from infusionlaw.pipeline import fit
from infusionlaw.report.figures import write_figures
from infusionlaw.report.plotdata import Mark, Panel, by_tokens, collapse_note, law_panels, panels, spread_out
from infusionlaw.runs.record import RunRecord

SHARES = (0.0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
SIZES, HELD, TOKENS = (14_000, 28_000, 55_000), 110_000, 1_500_000
Results = tuple[list[RunRecord], list[Point], Law, Comparison]


@pytest.fixture(scope="module")
def results() -> Results:
    rng = np.random.default_rng(1)
    fitted, _ = simulate(World(), SIZES, [TOKENS], SHARES, 2, rng)
    held, _ = simulate(World(), [HELD], [TOKENS], SHARES, 2, rng)
    held = [replace(row, held_out=True) for row in held]
    points, law = fit(fitted, 0.05, 60)
    held_points = find_points(held, draws=60)
    seen = next(point for point in held_points if point.kind == "collapse")
    predicted = law.predict_point("collapse", HELD, TOKENS)
    row = ComparedPoint("collapse", HELD, TOKENS, "share", predicted.share, seen.share, seen.status, 0.0, True)
    return [*fitted, *held], [*points, *held_points], law, Comparison("", "", 0, points=(row,))


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


def test_a_panel_says_in_words_where_collapse_is(items: list[Panel]) -> None:
    def note(status: Any, x: Interval) -> str:
        return collapse_note(replace(items[0], marks=(Mark("collapse", 1e4, x, status),)))

    assert note("found", Interval(0.0, float(log_odds(0.4)), None)) == "collapse at 0.50 [0.40, open]"
    assert note("ambiguous", Interval(0.0, 0.0, 0.0)).endswith("(ambiguous)")
    assert note("not reached", Interval(low=float(log_odds(0.98)))) == "collapse not reached: above 0.98"
    assert collapse_note(replace(items[0], marks=())) == ""


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


def test_the_law_is_shown_up_to_the_held_out_size_with_what_was_predicted(results: Results) -> None:
    _, points, law, comparison = results
    collapse, retention = law_panels(law, comparison, TOKENS)
    assert (collapse.kind, retention.kind) == ("collapse", "retention")
    assert [mark.size for mark in collapse.points] == [*SIZES]  # the held-out point is no part of the law
    assert collapse.sizes[0] < SIZES[0] and collapse.sizes[-1] > HELD
    (predicted,), (observed,) = collapse.predicted, collapse.observed
    band = [float(np.interp(HELD, collapse.sizes, end)) for end in (collapse.low, collapse.median, collapse.high)]
    assert [predicted.x.low, predicted.x.value, predicted.x.high] == pytest.approx(band, abs=0.03)
    seen = next(point for point in points if point.kind == "collapse" and point.size == HELD)
    assert observed.x.value == pytest.approx(seen.x.value) and observed.status == seen.status
    assert law_panels(law, comparison, 9e9) == []


def test_figures_are_written_as_png_and_svg_with_text_as_text(
    tmp_path: Path, items: list[Panel], results: Results
) -> None:
    _, _, law, comparison = results
    drawings = write_figures(tmp_path, items, law, comparison)
    assert [drawing.path.name for drawing in drawings] == ["dose-response.svg", "law.svg", "validation-loss.svg"]
    for drawing in write_figures(tmp_path, items, law, comparison, "png"):
        png = drawing.path.read_bytes()
        assert png[:4] == b"\x89PNG" and int.from_bytes(png[16:20], "big") == 1200
    for drawing in drawings:
        assert ElementTree.parse(drawing.path).getroot().tag.endswith("svg")
    first = drawings[0].path.read_text()
    assert ">14k parameters<" in first and ">110k parameters (held out, predicted first)<" in first
    assert ">0.95<" in first and ">collapse at " in first
    again = write_figures(tmp_path / "again", items, law, comparison)
    assert [drawing.path.read_bytes() for drawing in again] == [drawing.path.read_bytes() for drawing in drawings]


def test_figures_of_several_token_counts_have_them_in_their_names_in_the_formats_asked_for(
    tmp_path: Path, items: list[Panel], results: Results
) -> None:
    token_counts = [*items, *(replace(panel, tokens=3e6) for panel in items)]
    drawings = write_figures(tmp_path, token_counts, *results[2:], "png")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(drawing.path.name for drawing in drawings)
    assert {"dose-response-1.5M.png", "dose-response-3M.png"} <= {drawing.path.name for drawing in drawings}


def test_of_many_sizes_some_are_drawn_with_the_smallest_the_largest_and_those_held_out(
    tmp_path: Path, items: list[Panel], results: Results
) -> None:
    sizes = [1000 * 2**i for i in range(30)]
    many = [*(replace(items[0], size=size) for size in sizes), items[-1]]
    drawn = [panel.size for panel in spread_out(many)]
    assert len(drawn) == 13 and drawn == [*sorted(drawn[:-1]), HELD]
    assert {sizes[0], sizes[-1]} <= {*drawn}
    first = write_figures(tmp_path, many, *results[2:])[0]
    assert "13 of 31 sizes" in first.caption and first.path.read_text().count(" parameters") == 13


def test_bounds_and_a_missing_law_are_drawn(tmp_path: Path) -> None:
    rows, _ = simulate(
        World(collapse=None, spread=0.0), [14_000, 28_000], [TOKENS], SHARES, 1, np.random.default_rng(0)
    )
    points, law = fit(rows, 0.05, 60)
    comparison = Comparison(written="", table_sha256="", already_known=0)
    drawings = write_figures(tmp_path, panels(rows, points), law, comparison)
    text = {drawing.name: drawing.path.read_text() for drawing in drawings}
    assert ">collapse of recall: no law<" in text["law"] and "90 % band" not in text["law"]
    assert re.search(r">collapse not reached: above 0\.[89]", text["dose-response"])


def test_curves_that_were_not_measured_leave_no_figure(tmp_path: Path, results: Results) -> None:
    rows = [replace(row, retention=None, val_bpb=None, unseen_recall=None) for row in results[0]]
    recall_only = [point for point in results[1] if point.kind in ("acquisition", "collapse")]
    drawings = write_figures(tmp_path, panels(rows, recall_only), results[2], results[3])
    assert [drawing.name for drawing in drawings] == ["dose-response", "law"]
