"""The figures of our own studies that are drawn as files."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studied import HELD, SHARES, SIZES, TOKENS, Results, studied

from experiments.analysis.figures import collapse_note, law_panels, write_figures
from infusionlaw.fitting import fit
from infusionlaw.law.design.simulate import World, simulate
from infusionlaw.law.dose import Interval, log_odds
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.report.plotdata import Mark, Panel, panels, spread_out


@pytest.fixture(scope="module")
def results() -> Results:
    return studied()


@pytest.fixture(scope="module")
def items(results: Results) -> list[Panel]:
    return panels(results[0], results[1])


def test_a_panel_says_in_words_where_collapse_is(items: list[Panel]) -> None:
    def note(status: Any, x: Interval) -> str:
        return collapse_note(replace(items[0], marks=(Mark("collapse", 1e4, x, status),)))

    assert note("found", Interval(0.0, float(log_odds(0.4)), None)) == "collapse at 0.50 [0.40, open]"
    assert note("ambiguous", Interval(0.0, 0.0, 0.0)).endswith("(ambiguous)")
    assert note("not reached", Interval(low=float(log_odds(0.98)))) == "collapse not reached: above 0.98"
    assert collapse_note(replace(items[0], marks=())) == ""


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
