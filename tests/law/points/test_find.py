import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.design.simulate import TrueLaw, World, simulate
from infusionlaw.law.dose import Interval
from infusionlaw.law.points.curves import curves
from infusionlaw.law.points.find import RISING, find_points, in_order
from infusionlaw.law.points.lines import fitted_line
from infusionlaw.law.points.point import Kind, Point, read_points, write_points
from infusionlaw.law.points.tolerance import isotonic
from infusionlaw.runs.outcomes import OUTCOMES
from infusionlaw.runs.record import RunRecord

SHARES = (0.1, 0.3, 0.6, 0.85, 0.92, 0.97)
# Recall falls, comes back and falls again: one of the falls is an accident, and one seed does not say which.
TWO_FALLS = (0.95, 0.95, 0.5, 0.3, 0.25, 0.95, 0.95, 0.95, 0.3, 0.2)
TEN_SHARES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97)
LARGEST = np.log10(0.97 / 0.03)


def table(
    values: Sequence[float | None],
    zero: float | None = 0.2,
    shares: Sequence[float] = SHARES,
    seeds: int = 2,
    se: float | None = 0.04,
    score: str = "recall",
    noise: float = 0.0,
    **common: Any,
) -> list[RunRecord]:
    """Rows of one (N, D) with given mean scores by share."""
    rng = np.random.default_rng(3)
    doses: list[tuple[float, float | None]] = ([(0.0, zero)] if zero is not None else []) + list(
        zip(shares, values, strict=True)
    )
    options: dict[str, Any] = {
        "size": 3e4,
        "tokens": 1.5e6,
        "facts": 128,
        "unseen_recall": 0.2,
        "recall": 0.5,
        **common,
    }
    row = RunRecord(**options)
    return [
        replace(row, share=share, seed=seed, **_scored(score, value and value + noise * rng.normal(), se))
        for share, value in doses
        for seed in range(seeds)
    ]


def _scored(score: str, value: float | None, se: float | None) -> dict[str, Any]:
    return {score: value, f"{score}_se": se}


def recall_only(rows: list[RunRecord]) -> list[RunRecord]:
    return [replace(row, retention=None, val_bpb=None) for row in rows]


def point(rows: list[RunRecord], kind: Kind = "collapse", **options: Any) -> Point:
    return next(p for p in find_points(rows, **options) if p.kind == kind)


@pytest.mark.parametrize("shape", ["trapezoid", "logistic"])
def test_collapse_and_acquisition_are_recovered(shape: str) -> None:
    world = World(shape=shape, spread=0.02)  # type: ignore[arg-type]
    rows, truth = simulate(world, [1.4e4, 5.5e4], [1.5e6], (0, *SHARES), 2, np.random.default_rng(0))
    for p in find_points(rows):
        if p.kind == "tolerance":
            continue
        x = truth[(p.kind, p.size, p.tokens)]
        assert p.status == "found"
        assert x is not None and p.x.value == pytest.approx(x, abs=0.35)
        assert (p.x.low or -np.inf) < x < (p.x.high or np.inf)


def test_both_units_say_the_same() -> None:
    p = point(table([0.4, 0.7, 0.95, 0.8, 0.6, 0.3], tokens_per_fact=16.0))
    assert p.share.value is not None and p.exposures.value is not None
    assert p.exposures.value == pytest.approx(p.share.value * 1.5e6 / (128 * 16))
    assert p.share.low is not None and p.share.high is not None and p.share.low < p.share.value < p.share.high < 1


@pytest.mark.parametrize(
    ("values", "status", "acquisition"),
    [
        ([0.2, 0.22, 0.18, 0.2, 0.21, 0.2], "no effect", "not reached"),  # flat at guessing
        ([0.21, 0.25, 0.5, 0.7, 0.8, 0.9], "not reached", "found"),  # still rising
        ([0.2, 0.5, 0.9, 0.92, 0.9, 0.91], "not reached", "found"),  # plateau
        ([0.9, 0.9, 0.9, 0.9, 0.91, 0.9], "not reached", "before the grid"),
        ([0.9, 0.7, 0.5, 0.35, 0.3, 0.2], "before the grid", "before the grid"),  # falls from the first dose
        ([0.4, 0.7, 0.95, 0.8, 0.6, 0.3], "found", "before the grid"),
        ([0.2, 0.9, 0.95, 0.95, 0.95, 0.3], "found", "found"),
    ],
)
def test_statuses(values: list[float], status: str, acquisition: str) -> None:
    rows = table(values)
    assert (point(rows).status, point(rows, "acquisition").status) == (status, acquisition)


def test_bounds_stand_at_the_ends_of_the_grid() -> None:
    above = point(table([0.21, 0.3, 0.5, 0.7, 0.8, 0.9]))
    assert (above.x.value, above.x.high) == (None, None)
    assert above.x.low is not None and 1.1 < above.x.low <= LARGEST
    assert RISING in above.note and not above.in_law  # a slow fall may begin before the last rise, unseen
    below = point(table([0.9, 0.7, 0.5, 0.35, 0.3, 0.2]))
    assert (below.x.value, below.x.low) == (None, None)
    assert below.share.high is not None and 0.1 <= below.share.high < 0.17
    assert below.likelihood is not None and below.likelihood.masses[0] >= 0.5


def test_never_learned_is_said() -> None:
    for kind in ("acquisition", "collapse"):
        assert "nothing was ever learned" in point(table([0.2] * 6, noise=0.05), kind).note
    unlearned = point(table([0.2] * 6, noise=0.05), "collapse")
    assert unlearned.status == "no effect" and unlearned.likelihood is None
    assert unlearned.x == Interval()  # it bounds nothing, so the law leaves it out


def test_noise_seldom_makes_a_collapse() -> None:
    rng = np.random.default_rng(5)
    world = World(collapse=None)
    found = 0
    for _ in range(8):
        rows, _ = simulate(world, [3e4], [1.5e6], (0, *SHARES), 2, rng)
        found += point(recall_only(rows)).status != "not reached"
    assert found <= 1


def two_falls(seeds: int) -> list[RunRecord]:
    return table(TWO_FALLS, shares=TEN_SHARES, se=0.03, seeds=seeds)


def test_a_curve_that_falls_and_comes_back_is_not_placed_at_its_last_fall() -> None:
    """Each run may collapse whole or not at all: then the first run that did says that collapse had begun."""
    for seeds in (1, 3):
        p = point(two_falls(seeds))
        assert p.share.high is not None and p.share.high < 0.5


def one_dip() -> list[RunRecord]:
    """One run far below its neighbours: it fell by chance, or collapse has begun there."""
    values = (0.9, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.3, 0.2)
    return table(values, shares=TEN_SHARES, se=0.09, seeds=1, facts=64)


def test_two_places_are_ambiguous_and_both_are_named() -> None:
    p = point(one_dip())
    assert p.status == "ambiguous"
    assert "the data also support a share of 0.2" in p.note
    assert p.likelihood is not None and len(p.likelihood.places()) == 2


def test_two_places_in_exposures_are_named_in_exposures() -> None:
    rows = [
        replace(row, share=None, exposures=1000 * row.share / (1 - row.share))  # type: ignore[operator]
        for row in one_dip()
    ]
    p = point(rows)
    assert p.unit == "exposures" and " exposures" in p.note and "share" not in p.note
    assert p.share.value is None


@pytest.mark.parametrize("se", [0.0, None])
def test_scores_of_exactly_zero_and_one(se: float | None) -> None:
    p = point(table([0.0, 1.0, 1.0, 1.0, 0.0, 0.0], zero=0.0, se=se, facts=None, unseen_recall=None))
    assert p.status == "found"
    assert p.share.value is not None and 0.8 < p.share.value < 0.92


def test_one_seed_is_less_sure_than_two() -> None:
    one, two = (point(table([0.4, 0.7, 0.95, 0.8, 0.6, 0.3], seeds=n)).x for n in (1, 2))
    assert one.low is not None and one.high is not None and two.low is not None and two.high is not None
    assert one.high - one.low > two.high - two.low > 0.1


def test_the_rise_does_not_move_the_hinge() -> None:
    slow = point(table([0.3, 0.6, 0.95, 0.95, 0.7, 0.3])).x.value
    fast = point(table([0.95, 0.95, 0.95, 0.95, 0.7, 0.3])).x.value
    assert slow is not None and fast == pytest.approx(slow, abs=0.1)


def test_three_doses_and_fewer() -> None:
    assert point(table([0.9, 0.9, 0.3], shares=(0.2, 0.6, 0.95))).status == "found"
    single = point(table([0.9], shares=(0.2,)))
    assert (single.status, single.x.value, single.x.low, single.x.high) == ("ambiguous", None, None, None)
    assert "fewer than two doses" in single.note


def test_diverged_runs_are_left_out_and_counted() -> None:
    p = point(table([0.4, float("nan"), 0.95, None, 0.6, 0.3]))
    assert p.status == "found"
    assert "4 runs without recall left out" in p.note
    rows = [replace(row, status="diverged") for row in table([None] * 6, zero=None)]
    assert "nothing but 12 diverged runs" in point(rows).note
    with_loss = [replace(row, val_bpb=1.0 + (row.share or 0.0)) for row in table([None] * 6)]
    assert all("left out" not in p.note for p in find_points(with_loss) if p.kind == "tolerance")


def test_retention_rises_first_and_its_fall_is_found_from_the_plateau() -> None:
    rising = point(table([0.6, 0.8, 0.9, 0.7, 0.5, 0.3], zero=0.55, score="retention"), "retention")
    assert rising.status == "found"
    assert rising.share.value is not None and 0.5 < rising.share.value < 0.8
    early = point(table([0.6, 0.5, 0.4, 0.3, 0.2, 0.2], zero=0.9, score="retention"), "retention")
    assert early.status == "before the grid"
    assert point(table([0.6] * 6, zero=0.6, score="retention", noise=0.03), "retention").status == "not reached"


def test_tolerance_is_where_loss_has_risen_by_the_stated_amount() -> None:
    rows = table([2.0, 2.01, 2.04, 2.2, 2.5, 3.0], zero=2.0, score="val_bpb", se=0.005)
    near, far = point(rows, "tolerance"), point(rows, "tolerance", tolerance=0.4)
    assert near.share.value is not None and 0.6 < near.share.value < 0.85
    assert far.share.value is not None and 0.85 < far.share.value < 0.92
    assert point(rows, "tolerance", tolerance=2.0).status == "not reached"
    steep = table([2.1, 2.2, 2.3, 2.4, 2.5, 3.0], zero=2.0, score="val_bpb", se=0.005)
    assert point(steep, "tolerance").status == "before the grid"


def test_isotonic_pools_what_goes_down() -> None:
    fit = isotonic(np.array([[1.0, 3.0, 2.0, 4.0], [4.0, 3.0, 2.0, 1.0]]), np.array([1.0, 1.0, 3.0, 1.0]))
    assert fit[0] == pytest.approx([1, 2.25, 2.25, 4])
    assert fit[1] == pytest.approx([14 / 6] * 4)


def test_scores_not_measured_have_no_points() -> None:
    assert {p.kind for p in find_points(table([0.4, 0.7, 0.95, 0.8, 0.6, 0.3]))} == {"acquisition", "collapse"}
    with pytest.raises(InputError, match="no rows"):
        find_points([])


def test_points_are_deterministic_and_independent_of_held_out_rows() -> None:
    rng = np.random.default_rng(2)
    rows, _ = simulate(World(), [1.4e4, 2.8e4], [1.5e6], (0, *SHARES), 2, rng)
    more, _ = simulate(World(spread=0.2), [1.1e5], [1.5e6], (0, *SHARES), 2, rng)
    alone = find_points(rows)
    assert alone == find_points(rows)
    table = [*rows, *(replace(row, held_out=True) for row in more)]
    both, held = find_points(table), find_points(table, only_held_out=True)
    assert [p for p in both if p.size < 1e5] == alone
    assert held == [p for p in both if p.size > 1e5] != [] and in_order([*held, *alone]) == both


def test_points_survive_the_disk(tmp_path: Path) -> None:
    rows = [*table([0.4, 0.7, 0.95, 0.8, 0.6, 0.3]), *table([0.2] * 6, size=9e4)]
    points = find_points(rows)
    write_points(tmp_path / "points.json", points)
    assert read_points(tmp_path / "points.json") == points
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json"):
        read_points(tmp_path / "bad.json")


def test_the_fitted_line_passes_through_the_means_and_bends_at_the_point() -> None:
    values = [0.21, 0.93, 0.95, 0.9, 0.6, 0.25]
    rows = table(values)
    line = fitted_line(curves(rows, OUTCOMES["recall"])[0], point(rows), steps=400)
    assert line is not None and line.unit == "share"
    assert np.interp(SHARES, line.dose, line.value) == pytest.approx(values, abs=0.06)
    hinge = point(rows).share.value
    assert hinge is not None
    before, after = np.interp([hinge - 0.1, 0.95], line.dose, line.value)
    assert before == pytest.approx(line.value.max(), abs=0.04) and after < before - 0.2  # a smooth fall bends early
    loss = table([2.0, 2.2, 2.1, 2.3, 2.5, 3.0], zero=2.0, score="val_bpb", se=0.005)
    monotone = fitted_line(curves(loss, OUTCOMES["val_bpb"])[0], point(loss, "tolerance"))
    assert monotone is not None and np.all(np.diff(monotone.value) >= 0)


def test_intervals_of_the_collapse_cover() -> None:
    """A dose at least lies on each plateau: where none does, the height of the plateau is anybody's guess."""
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(24):
        world = World(collapse=TrueLaw(rng.uniform(0.2, 0.95)), fall=rng.uniform(0.3, 1.2))
        rows, truth = simulate(world, [3e4], [1.5e6], (0, *SHARES), 2, rng)
        x, true = point(recall_only(rows)).x, truth[("collapse", 3e4, 1.5e6)]
        low, high = -np.inf if x.low is None else x.low, np.inf if x.high is None else x.high
        hits.append(true is not None and low <= true <= high)
    assert 0.82 <= np.mean(hits) <= 1.0


def test_a_table_of_four_sizes_is_quick() -> None:
    rows, _ = simulate(World(), [1e4, 2e4, 4e4, 8e4], [1.5e6], (0, *SHARES), 2, np.random.default_rng(0))
    start = time.process_time()
    find_points(rows, draws=400)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("stated", [{}, {"chance": 0.25}, {"facts": 500.0, "tokens_per_fact": 14.0}])
def test_near_equal_thin_curves_get_one_verdict_whatever_is_stated(stated) -> None:
    scores = {1e6: (0.748, 0.772, 0.403), 4e6: (0.732, 0.723, 0.370), 16e6: (0.768, 0.755, 0.402)}
    rows = [
        RunRecord(size, 2e7, share=share, recall=score, seed=1, **stated)
        for size, own in scores.items()
        for share, score in zip((0.1, 0.5, 0.9), own, strict=True)
    ]
    found = find_points(rows)
    said = {(point.kind, point.status) for point in found}
    assert said == {("acquisition", "before the grid"), ("collapse", "found")}


def test_retention_at_its_own_guessing_had_nothing_to_lose_though_guessing_facts_gives_less() -> None:
    rng = np.random.default_rng(0)
    rows = [
        RunRecord(1e4, 1e6, share, retention=0.5 + rng.normal(0, 0.01), retention_se=0.02, chance=0.125, seed=seed)
        for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
        for seed in (1, 2)
    ]
    assert point(rows, "retention").status != "no effect"
    own = [replace(row, more=(("chance:retention", 0.5),)) for row in rows]
    assert point(own, "retention").status == "no effect"


def test_a_fall_of_retention_says_what_the_start_had_and_what_dose_0_has() -> None:
    values = (0.84, 0.86, 0.85, 0.6, 0.4, 0.3)
    rows = table(values, zero=0.85, score="retention", more=(("start_retention", 0.91),))
    (point,) = [point for point in find_points(rows) if point.kind == "retention"]
    (bare,) = [point for point in find_points([replace(row, more=()) for row in rows]) if point.kind == "retention"]
    assert "the start had 0.91, and dose 0 has 0.06 less" in point.note and "start" not in bare.note
    assert point.x == bare.x  # the fall is that of the dose
