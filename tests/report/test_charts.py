"""What the page's figures hold: the doses, scores and points of a simulated study, as numbers for Plotly."""

from dataclasses import replace

import numpy as np
import pytest
from studied import HELD, SHARES, SIZES, TOKENS, Results, studied

from infusionlaw.law.dose import log_odds
from infusionlaw.law.numbers import number
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.report.charts import (
    Spec,
    dose_response_charts,
    law_charts,
    loss_charts,
    plain,
    prediction_chart,
    shades,
    trade_off_charts,
)
from infusionlaw.report.plotdata import Panel, panels


@pytest.fixture(scope="module")
def results() -> Results:
    return studied()


@pytest.fixture(scope="module")
def items(results: Results) -> list[Panel]:
    return panels(results[0], results[1])


def legend(spec: Spec) -> list[str]:
    return [trace["name"] for trace in spec["data"] if trace.get("showlegend", True)]


def test_scores_lie_at_their_doses_with_dose_zero_apart(results: Results, items: list[Panel]) -> None:
    (chart,) = dose_response_charts(items)
    assert legend(chart.spec) == [*map(number, SIZES), f"{number(HELD)} (held out)"]
    first = next(trace for trace in chart.spec["data"] if trace.get("showlegend"))
    rows = [row for row in results[0] if row.size == SIZES[0]]
    means = [np.mean([row.recall for row in rows if row.share == share]) for share in SHARES]
    assert first["y"][0] == pytest.approx(means[0], abs=1e-4) and first["y"][1] is None
    assert first["y"][2:] == pytest.approx(means[1:], abs=1e-4)
    assert first["x"][2:] == pytest.approx([*log_odds(SHARES[1:])], abs=1e-3) and first["x"][0] < first["x"][2]
    axis = chart.spec["layout"]["xaxis"]
    assert dict(zip(axis["ticktext"], axis["tickvals"], strict=True))["0"] == pytest.approx(first["x"][0], abs=1e-3)


def test_each_located_point_is_marked_on_its_curve(results: Results, items: list[Panel]) -> None:
    (chart,) = dose_response_charts(items)
    diamonds = [trace["x"][0] for trace in chart.spec["data"] if trace.get("marker", {}).get("symbol") == "diamond"]
    located = [p.x.value for p in results[1] if p.kind != "tolerance" and p.x.value is not None]
    assert sorted(diamonds) == pytest.approx(sorted(located), abs=1e-3)


def test_a_line_stands_for_gain_against_forgetting_at_each_size(results: Results, items: list[Panel]) -> None:
    (chart,) = trade_off_charts(items)
    first = chart.spec["data"][0]
    rows = [row for row in results[0] if row.size == SIZES[0]]
    rise, recall = (
        [np.mean([getattr(row, name) for row in rows if row.share == share]) for share in SHARES]
        for name in ("val_bpb", "recall")
    )
    assert first["x"] == pytest.approx([value - rise[0] for value in rise], abs=1e-3)
    assert first["y"] == pytest.approx(recall, abs=1e-3)
    assert (
        trade_off_charts([replace(items[0], scores=items[0].scores | {"recall": items[0].scores["verbatim_recall"]})])
        == []
    )


def test_a_law_has_its_points_its_band_and_what_was_predicted(results: Results) -> None:
    _, points, law, comparison = results
    charts = law_charts(law, points, comparison)
    titles = [chart.spec["layout"]["title"]["text"].split(":")[0] for chart in charts]
    assert titles == ["acquisition of recall", "collapse of recall", "collapse of retention", "rise of validation loss"]
    collapse = charts[1].spec["data"]
    band = next(trace for trace in collapse if trace.get("fill") == "toself")
    assert min(band["x"]) < SIZES[0] and max(band["x"]) > HELD
    shown = {trace["name"]: trace for trace in collapse if "name" in trace}
    fitted = shown[f"{number(TOKENS)} tokens"]
    mine = [p for p in points if p.kind == "collapse" and not p.held_out and p.size in SIZES]
    assert fitted["x"] == [p.size for p in mine]
    assert fitted["y"] == pytest.approx([p.x.value for p in mine], abs=1e-3)
    assert {f"{what}, {number(TOKENS)} tokens" for what in ("predicted", "observed, held out")} <= {*shown}


def test_predicted_stands_against_observed(results: Results) -> None:
    chart = prediction_chart(results[3])
    assert chart is not None
    (row,) = results[3].points
    trace = chart.spec["data"][1]
    assert trace["x"] == pytest.approx([float(log_odds(row.predicted.value or 0))], abs=1e-3)
    assert trace["y"] == pytest.approx([float(log_odds(row.observed.value or 0))], abs=1e-3)
    assert prediction_chart(Comparison("", "", 0)) is None


def test_what_was_not_measured_leaves_no_figure(results: Results) -> None:
    rows = [replace(row, recall=None, val_bpb=None, unseen_recall=None, recall_se=None) for row in results[0]]
    drawn = panels(rows, [])
    (chart,) = dose_response_charts(drawn)
    assert chart.caption.startswith("Retention by dose")
    assert loss_charts(drawn) == trade_off_charts(drawn) == []
    assert dose_response_charts([]) == []


def test_a_loss_is_drawn_in_the_unit_of_its_table(results: Results) -> None:
    rows = [replace(row, loss_unit="nats per token") for row in results[0]]
    drawn = panels(rows, results[1])
    (loss,), (trade,) = loss_charts(drawn), trade_off_charts(drawn)
    assert loss.spec["layout"]["yaxis"]["title"]["text"] == "validation loss<br>nats per token"
    assert trade.spec["layout"]["xaxis"]["title"]["text"].endswith("nats per token")


def test_token_counts_have_a_figure_each(items: list[Panel]) -> None:
    both = [*items, *(replace(panel, tokens=6e6) for panel in items)]
    assert ["Token count: 6M." in chart.caption for chart in loss_charts(both)] == [False, True]


def test_text_is_shown_letter_by_letter_and_colours_are_apart() -> None:
    assert plain("<b>a</b> & <a href='x'>") == "&lt;b&gt;a&lt;/b&gt; &amp; &lt;a href='x'&gt;"
    assert len(set(shades(12))) == 12 and shades(1) == shades(3)[:1] and shades(0) == []
