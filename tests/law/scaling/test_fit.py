from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.covariates import distinct
from infusionlaw.law.design.simulate import TrueLaw, World, simulate, true_x
from infusionlaw.law.dose import Interval, share_of
from infusionlaw.law.likelihood import Assumed, normal
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law, law_band, read_law, write_law
from infusionlaw.runs.record import RunRecord

SHARES = (0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.92, 0.97)
SIZES = (1e4, 2e4, 4e4, 8e4)


def at(
    size: float, x: float | None, tokens: float = 1.5e6, low: float | None = None, high: float | None = None
) -> Point:
    """A collapse point, found to within 0.05 dex, or a bound."""
    found = x is not None
    interval = Interval(x, x - 0.05, x + 0.05) if x is not None else Interval(None, low, high)
    status = "found" if found else "not reached" if low is not None else "before the grid"
    return Point("collapse", size, tokens, status, "share", interval, Interval(), Interval(), "")  # type: ignore[arg-type]


def law_of(points: Sequence[Point]) -> Law:
    rows = [RunRecord(size=p.size, tokens=p.tokens, share=s, recall=0.5) for p in points for s in (0.0, 0.5)]
    return fit_law(rows, points)


def test_a_law_takes_what_its_points_may_all_be_wrong_in() -> None:
    points = [at(size, 0.3) for size in SIZES]
    shapes = [tuple(Assumed(0.5, normal(x, 0.03)) for x in (0.1, 0.5)) for _ in SIZES]
    shared = [replace(point, assumed=own) for point, own in zip(points, shapes, strict=True)]
    low, high = (_width_at(law_of(each), 3e4) for each in (points, shared))
    assert high > 2 * low and high > 0.35
    one_of_another_table = [*shared[:-1], replace(shared[-1], assumed=shared[-1].assumed[:1])]
    assert _width_at(law_of(one_of_another_table), 3e4) < high / 2


def _width_at(law: Law, size: float) -> float:
    x = law.predict_point("collapse", size, 1.5e6).x
    assert x.low is not None and x.high is not None
    return x.high - x.low


def test_the_points_of_a_table_name_the_shapes_that_they_may_share() -> None:
    rows, _ = simulate(World(spread=0.02), SIZES[:3], [1.5e6], SHARES, 2, np.random.default_rng(2))
    for kind in ("acquisition", "collapse", "retention"):
        found = [[item.weight for item in p.assumed] for p in find_points(rows) if p.kind == kind]
        assert len(found) == 3 and found[0] == found[1] == found[2]
        assert len(found[0]) > 1 and sum(found[0]) == pytest.approx(1)


def test_where_most_points_are_bounds_the_law_is_still_that_of_those_found() -> None:
    rng = np.random.default_rng(0)
    points = []
    for size in (1.2e4, 2e4, 3.4e4, 5.7e4, 9.5e4, 1.6e5, 2.7e5, 4.5e5):
        for tokens in (1.5e6, 3e6, 6e6):
            x = -0.9 - 0.6 * np.log10(size / 7e4) - 0.9 * np.log10(tokens / 3e6) + rng.normal(0, 0.05)
            points.append(at(size, x, tokens) if x > -0.9 else at(size, None, tokens, high=-0.9))
    law = law_of(points).of("collapse").coefficients
    assert law["size"].value == pytest.approx(-0.6, abs=0.2)
    assert law["tokens"].value == pytest.approx(-0.9, abs=0.3)
    assert law["scatter"].value is not None and law["scatter"].value < 0.15


@pytest.mark.parametrize("exponent", [-0.5, 0.5])
def test_the_exponent_is_recovered_with_either_sign_from_runs(exponent: float) -> None:
    world = World(collapse=TrueLaw(0.4, exponent), size0=3e4, spread=0.02, facts=400)
    rows, _ = simulate(world, SIZES, [1.5e6], SHARES, 3, np.random.default_rng(1))
    law = fit_law(rows, find_points(rows))
    size = law.of("collapse").coefficients["size"]
    assert size.low is not None and size.high is not None and size.value is not None
    assert size.low < exponent < size.high
    assert size.value * exponent > 0
    x = law.predict_point("collapse", 1.6e5, 1.5e6).x
    true = true_x(world.collapse, world, 1.6e5, 1.5e6)
    assert x.low is not None and x.high is not None and true is not None and x.low < true < x.high


def test_both_exponents_are_recovered_and_none_is_said_to_be_none() -> None:
    rng = np.random.default_rng(0)
    points = [at(n, 0.3 - 0.4 * np.log10(n / 3e4) + rng.normal(0, 0.03), d) for n in SIZES for d in (1e6, 4e6)]
    coefficients = law_of(points).of("collapse").coefficients
    size, tokens = coefficients["size"], coefficients["tokens"]
    assert size.value == pytest.approx(-0.4, abs=0.12)
    assert tokens.low is not None and tokens.high is not None and tokens.low < 0 < tokens.high
    assert size.low is not None and size.high is not None and size.low < -0.4 < size.high < 0


def test_a_bound_pulls_the_law_up_and_a_weak_one_does_nothing() -> None:
    found = [at(1e4, 0.3), at(2e4, 0.35)]
    free, weak, strong = (
        law_of([*found, *bound]).of("collapse").coefficients["size"].value
        for bound in ([], [at(8e4, None, low=-2.0)], [at(8e4, None, low=1.2)])
    )
    assert free is not None and strong is not None
    assert weak == pytest.approx(free, abs=0.15)
    assert strong > free + 0.3


def test_a_bound_from_below_pulls_the_law_down() -> None:
    law = law_of([at(1e4, 0.3), at(2e4, 0.3), at(8e4, None, high=-0.9)])
    slope = law.of("collapse").coefficients["size"]
    assert slope.high is not None and slope.high < 0


def test_scatter_grows_with_what_the_points_show() -> None:
    line = [at(n, 0.5 * np.log10(n / 3e4)) for n in np.geomspace(1e4, 1e6, 8)]
    rough = [at(p.size, (p.x.value or 0) + 0.4 * (-1) ** i) for i, p in enumerate(line)]
    smooth_law, rough_law = (law_of(points).of("collapse").coefficients["scatter"] for points in (line, rough))
    assert smooth_law.value is not None and rough_law.value is not None
    assert smooth_law.value < 0.06
    assert rough_law.value == pytest.approx(0.4, abs=0.15)


def test_extrapolating_widens_the_interval_and_three_sizes_are_less_sure_than_six() -> None:
    def width(count: int, size: float) -> float:
        x = law_of([at(n, 0.3) for n in np.geomspace(1e4, 8e4, count)]).predict_point("collapse", size, 1.5e6).x
        assert x.low is not None and x.high is not None
        return x.high - x.low

    assert width(3, 8e5) > 1.3 * width(3, 3e4)
    assert width(3, 8e5) > 1.2 * width(6, 8e5)


def test_without_two_located_points_there_is_no_law_and_the_reason_is_given() -> None:
    law = law_of([at(1e4, None, low=1.2), at(2e4, None, low=1.5)])
    kind = law.of("collapse")
    assert kind.status == "not fitted"
    places = "size 10k and 1.5M tokens and size 20k and 1.5M tokens"
    assert "none was located" in kind.reason and f"not reached at {places}" in kind.reason
    many = law_of([at(size, None, low=1.2) for size in (1e4, 2e4, 4e4)]).of("collapse")
    assert "not reached at 3 sizes and token counts" in many.reason
    assert law.predict_point("collapse", 1e5, 1.5e6).x == Interval()
    assert "no scores" in law.of("retention").reason
    assert law_band(law, "collapse", 1.5e6, [1e4, 1e5]) is None
    assert law_of([at(1e4, 0.3)]).of("collapse").status == "not fitted"


def test_one_located_point_makes_no_law_whatever_the_bounds() -> None:
    kind = law_of([at(1e4, 0.3), at(2e4, None, low=1.5), at(4e4, None, low=1.5)]).of("collapse")
    assert (kind.status, kind.forms) == ("not fitted", ())
    assert "at least two located collapse points, and only one was located" in kind.reason
    two = law_of([at(1e4, 0.3), at(2e4, None, low=1.5), at(4e4, 0.5)])
    assert two.of("collapse").status == "fitted"
    x = two.predict_point("collapse", 2e4, 1.5e6).x
    assert x.value is not None and x.value > 0.42  # between 0.3 and 0.5, the bound lifts it
    left_out = law_of([at(1e4, 0.3), replace(at(2e4, 0.4), in_law=False)])
    assert left_out.of("collapse").status == "not fitted"


def test_what_did_not_vary_is_not_identified_and_flagged() -> None:
    law = law_of([at(n, 0.3) for n in SIZES])
    assert law.of("collapse").coefficients["tokens"] == Interval()
    assert law.predict_point("collapse", 1e5, 1.5e6).flags == ()
    assert "only one token count" in law.predict_point("collapse", 1e5, 6e6).flags[0]
    token_counts = law_of([at(3e4, 0.3, d) for d in (1e6, 2e6, 4e6)])
    assert "only one size" in token_counts.predict_point("collapse", 1e5, 2e6).flags[0]


def test_a_law_read_back_says_the_same(tmp_path: Path) -> None:
    rows, _ = simulate(World(), SIZES[:3], [1.5e6], SHARES, 2, np.random.default_rng(4))
    law = fit_law(rows, find_points(rows))
    write_law(tmp_path / "law.json", law)
    back = read_law(tmp_path / "law.json")
    assert back == law
    assert back.predict_point("collapse", 3e5, 3e6) == law.predict_point("collapse", 3e5, 3e6)
    for text in ("[]", '{"version": 3, "kinds": {}}', "{"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=r"bad\.json"):
            read_law(tmp_path / "bad.json")


def test_held_out_runs_do_not_reach_the_law() -> None:
    rows, _ = simulate(World(), SIZES[1:], [1.5e6], SHARES, 2, np.random.default_rng(4))
    small = [row for row in rows if row.size < 8e4]
    marked = [replace(row, held_out=row.size == 8e4) for row in rows]
    assert fit_law(marked, find_points(marked)) == fit_law(small, find_points(small))
    one_seed = [row for row in rows if row.seed == rows[0].seed]
    marked = [replace(row, held_out=row.seed != rows[0].seed) for row in rows]
    points = find_points(marked)
    assert [replace(p, note="") for p in points if not p.held_out] == [
        replace(p, note="") for p in find_points(one_seed)
    ]
    assert fit_law(marked, points) == fit_law(one_seed, find_points(one_seed))
    with pytest.raises(InputError, match="held out"):
        fit_law([replace(row, held_out=True) for row in rows], [])


def test_sizes_and_budgets_that_differ_by_rounding_alone_are_one() -> None:
    assert distinct([1.5e9, 1.501e9, 1.502e9]) == 1
    assert distinct([1e4, 1e4, 2e4, 2.01e4, 4e4]) == 3
    law = law_of([at(n, 0.1, tokens=d) for n, d in ((1e4, 1.5e9), (2e4, 1.501e9), (4e4, 1.502e9))])
    assert law.of("collapse").varied == ("size",)


def test_a_form_is_asked_for_what_it_was_fitted_at_where_only_the_length_is_known() -> None:
    points = [replace(at(n, x), tokens_per_fact=20.0) for n, x in zip(SIZES, (-2.0, -1.7, -1.4, -1.1), strict=True)]
    rows = [
        RunRecord(size=p.size, tokens=1.5e6, share=s, recall=0.5, tokens_per_fact=20) for p in points for s in (0, 0.5)
    ]
    law = fit_law(rows, points, forms=["capacity bound"])
    for point in points:
        assert law.predict_point("collapse", point.size, 1.5e6).x.value == pytest.approx(point.x.value, abs=0.15)


def test_a_law_with_a_form_that_is_not_installed_says_so(tmp_path: Path) -> None:
    write_law(tmp_path / "law.json", law_of([at(n, 0.1) for n in SIZES]))
    text = (tmp_path / "law.json").read_text().replace("power law in size and token count", "my own form")
    (tmp_path / "law.json").write_text(text)
    with pytest.raises(
        InputError, match=r'law.json: .*the form "my own form" is not installed; install the package'
    ) as told:
        read_law(tmp_path / "law.json")
    assert "garbles" not in str(told.value)


def test_losses_that_cannot_be_are_left_out_of_the_law() -> None:
    rows, _ = simulate(World(), SIZES[:2], [1.5e6], SHARES, 1, np.random.default_rng(4))
    bad = [replace(row, val_bpb=float("nan")) if row.share == 0.3 else row for row in rows]
    law = fit_law([*bad, replace(bad[0], seed=99, val_bpb=-1.0)], find_points(rows))
    assert law.cost is not None and np.isfinite(law.cost.theta).all()
    assert law.zero_dose is not None and law.zero_dose.log_loss is not None
    assert np.isfinite(law.zero_dose.log_loss.draws(4e4, 1.5e6, 50, 0)).all()


def test_the_band_is_the_prediction_at_each_size() -> None:
    law = law_of([at(n, 0.3 + 0.2 * np.log10(n / 1e4)) for n in SIZES])
    band = law_band(law, "collapse", 1.5e6, [3e4, 3e5])
    assert band is not None
    x = law.predict_point("collapse", 3e5, 1.5e6).x
    assert [band.median[1], band.low[1], band.high[1]] == pytest.approx(
        [float(share_of(end)) for end in (x.value, x.low, x.high) if end is not None], rel=1e-3
    )
    assert band.high[1] < 1


def test_models_that_learn_only_at_the_end_do_not_bend_the_law() -> None:
    """The smallest are acquired beyond where they would collapse: recall rises to what is left after a collapse."""
    sizes, exponent = (1e4, 1.7e4, 3e4, 6e4, 1e5, 1.8e5), 0.3
    world = World(
        collapse=TrueLaw(0.75, exponent),
        acquisition=TrueLaw(-0.5, -2.5),
        retention=None,
        tolerance=None,
        guessing=0.15,
        plateau=0.97,
        floor=0.6,
        fall=0.6,
        spread=0.08,
    )
    for seed in range(2):
        shares = (0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96)
        rows, _ = simulate(world, sizes, (1.5e6,), shares, 2, np.random.default_rng(seed))
        points = [point for point in find_points(rows, draws=100) if point.kind == "collapse"]
        assert (points[0].status, points[0].in_law) == ("not reached", False)
        assert "it still rises at the largest doses" in points[0].note
        found = fit_law(rows, points, draws=300).of("collapse").coefficients["size"]
        assert found.low is not None and found.high is not None and found.low < exponent < found.high
