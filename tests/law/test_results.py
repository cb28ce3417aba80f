"""Results as objects: points, laws and plans are shown, drawn, saved and turned into data frames."""

import subprocess
import sys

import numpy as np
import pytest

from infusionlaw import InputError, Law, Plan, Points, RunRecord, find_points, fit_law, predict
from infusionlaw.law.design.simulate import World, simulate

SHARES = (0, 0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98)


@pytest.fixture(scope="module")
def rows() -> list[RunRecord]:
    return simulate(World(), [14e3, 28e3, 56e3], [1.5e6], SHARES, 2, np.random.default_rng(1))[0]


@pytest.fixture(scope="module")
def points(rows) -> Points:
    return find_points(rows)


@pytest.fixture(scope="module")
def law(rows, points) -> Law:
    return fit_law(rows, points)


@pytest.fixture(scope="module")
def plan(law) -> Plan:
    return predict(law, 112e3, 1.5e6, tolerance=None)


def test_what_is_saved_is_loaded(tmp_path, points, law, plan) -> None:
    for result in (points, law, plan):
        result.save(tmp_path / "result.json")
        assert type(result).load(tmp_path / "result.json") == result


def test_a_result_is_shown_on_a_few_short_lines_with_its_answer(rows, points, law, plan) -> None:
    for result in (rows[0], points[0], points, law.kinds[0], law, law.kinds[0].forms[0], plan):
        text = repr(result)
        assert sum(1 + len(line) // 120 for line in text.splitlines()) <= 10, text
    assert "collapse: 3 found" in repr(points)
    assert "retention=" not in repr(RunRecord(14e3, 1.5e6, share=0.5)) and "share=0.5" in repr(
        RunRecord(14e3, 1.5e6, share=0.5)
    )
    assert f"{plan.dose.share.value:.2f}" in repr(plan)
    assert "size^" in repr(law)
    assert repr(Points()) == "<no points>"


def test_the_frame_of_points_has_a_row_a_point_with_both_ends(points) -> None:
    frame = points.to_frame()
    assert len(frame) == len(points)
    collapse = frame[frame.kind == "collapse"].set_index("size")
    for point in (p for p in points if p.kind == "collapse"):
        row = collapse.loc[point.size]
        assert (row.share, row.share_low, row.share_high) == (point.share.value, point.share.low, point.share.high)
        assert row.status == point.status


def test_the_frame_of_a_law_has_each_exponent_of_each_kind(law) -> None:
    frame = law.to_frame()
    assert set(frame.kind) == {kind.kind for kind in law.kinds}
    first = law.of("collapse").forms[0]
    own = frame[(frame.kind == "collapse") & (frame.form == first.form.name)].set_index("coefficient")
    assert own.loc["size", "value"] == law.of("collapse").coefficients["size"].value
    assert np.isnan(own.loc["tokens", "value"])  # one token count cannot tell
    assert frame.groupby(["kind", "form"]).weight.first().groupby("kind").sum().to_numpy() == pytest.approx(1, abs=0.01)


def test_a_kind_without_a_law_is_a_row_with_the_reason(rows) -> None:
    few = [row for row in rows if row.size == 14e3 and (row.share or 0) < 0.2]
    frame = fit_law(few, find_points(few)).to_frame().set_index("kind")
    assert frame.loc["collapse", "reason"] and frame.loc["collapse", "status"] == "not fitted"


def test_frames_of_plans_can_be_put_together(law, plan) -> None:
    pandas = pytest.importorskip("pandas")
    other = predict(law, 224e3, 1.5e6, tolerance=None)
    both = pandas.concat([plan.to_frame(), other.to_frame()])
    advised = both[both.quantity == "advised share"].set_index("size").value
    assert advised.to_dict() == {112e3: plan.dose.share.value, 224e3: other.dose.share.value}
    assert not both.duplicated(["size", "quantity"]).any()


def test_what_is_drawn_is_what_was_found(points, law, plan) -> None:
    for figure, panels in ((points.plot(), 4), (law.plot(), 4)):
        figure.canvas.draw()
        assert len(figure.axes) == panels
        drawn = {round(float(y), 9) for ax in figure.axes for line in ax.lines for y in np.ravel(line.get_ydata())}
        values = {round(p.share.value, 9) for p in points if p.share.value is not None}
        assert values <= drawn
    figure = plan.plot()
    figure.canvas.draw()
    doses = [float(x) for line in figure.axes[0].lines for x in np.ravel(line.get_xdata())]
    assert plan.dose.share.value in doses and plan.points["collapse"].share.value in doses


def test_bounds_and_exposures_are_drawn_and_nothing_is_an_input_error(rows) -> None:
    from dataclasses import replace

    few = [replace(row, share=None) for row in rows if (row.share or 0) < 0.7]
    found = find_points(few)
    assert any(point.x.value is None for point in found)
    found.plot().canvas.draw()
    fit_law(few, found).plot().canvas.draw()
    with pytest.raises(InputError, match="nothing to draw"):
        Points().plot()


def test_matplotlib_and_pandas_are_loaded_only_by_who_draws_or_asks_for_a_frame() -> None:
    code = (
        "import sys, infusionlaw as il; il.Points, il.Law, il.Plan, il.predict\n"
        "print([name for name in ('matplotlib', 'pandas', 'torch') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout == "[]\n"
