from typing import get_args

import numpy as np
import pytest

from infusionlaw.law.design.simulate import (
    TRUE_TOLERANCE,
    CurveShape,
    TrueLaw,
    World,
    fallen,
    height,
    risen,
    simulate,
    true_points,
    true_x,
    val_bpb,
)
from infusionlaw.law.dose import Array, log_odds, share_of

X = np.arange(-3, 3, 1e-4)


def tangent_meets(y: Array, left: float, reached: float) -> float:
    """Where the tangent at half height between two levels meets the level `left`, read off a curve y over X."""
    half = (left + reached) / 2
    at = int(np.argmax((y < half) if left > reached else (y > half)))
    slope = (y[at + 1] - y[at - 1]) / (X[at + 1] - X[at - 1])
    return float(X[at] + (left - y[at]) / slope)


@pytest.mark.parametrize("shape", get_args(CurveShape))
@pytest.mark.parametrize("width", [0.3, 1.2])
def test_a_point_is_where_the_tangent_at_half_height_meets_the_level_it_leaves(shape: CurveShape, width: float) -> None:
    assert tangent_meets(fallen(shape, X, 0.4, width), 1, 0) == pytest.approx(0.4, abs=1e-3)
    assert tangent_meets(risen(shape, X, -0.7, width), 0, 1) == pytest.approx(-0.7, abs=1e-3)


@pytest.mark.parametrize("shape", get_args(CurveShape))
def test_a_floor_above_guessing_does_not_move_the_point(shape: CurveShape) -> None:
    world = World(shape=shape, floor=0.5, fall=0.6, rise=0.3)
    recall = world.guessing + (world.plateau - world.guessing) * height(world, X, -2.5, 0.7)
    assert recall[-1] == pytest.approx(0.5, abs=0.01)
    assert tangent_meets(recall[X > 0], 0.95, 0.5) + 3 == pytest.approx(0.7, abs=2e-3)


def test_shapes_differ_where_they_should() -> None:
    x = np.array([0.3, 0.4, 1.2, 1.3])
    trapezoid, logistic, gompertz = (fallen(s, x, 0.4, 0.8) for s in ("trapezoid", "logistic", "gompertz"))
    assert trapezoid == pytest.approx([1, 1, 0, 0])
    assert logistic[1] == pytest.approx(1 - logistic[2]) and logistic[1] == pytest.approx(0.88, abs=0.01)
    assert gompertz[1] < 0.86 and gompertz[2] < 0.06  # slow to leave, quick to end
    assert fallen("step", np.array([0.39, 0.43]), 0.4, 0.8) == pytest.approx([1, 0])


def test_val_bpb_is_convex_and_passes_the_tolerance_at_its_point() -> None:
    shares = np.arange(0, 0.98, 0.01)
    loss = np.array([val_bpb(share, log_odds(0.4)) for share in shares])
    assert loss[40] - loss[0] == pytest.approx(TRUE_TOLERANCE)
    assert np.all(np.diff(loss) > 0) and np.all(np.diff(loss, 2) > 0)
    over_x = np.array([val_bpb(float(share_of(x)), log_odds(0.4)) for x in np.arange(-2, 1.5, 0.05)])
    assert np.all(np.diff(over_x, 2) > 0)
    assert val_bpb(0.9, None) == val_bpb(0, None)


def test_measured_loss_rises_by_the_tolerance_at_the_true_point() -> None:
    world = World(tolerance=TrueLaw(-0.2, 0.3))
    truth = true_points(world, 3e5, 1.5e6)["tolerance"]
    assert truth == pytest.approx(0.1)
    rows, found = simulate(world, [3e5], [1.5e6], (0, float(share_of(0.1))), 400, np.random.default_rng(0))
    assert found[("tolerance", 3e5, 1.5e6)] == truth
    none, some = (np.mean([r.val_bpb for r in rows if r.share == s]) for s in sorted({r.share or 0 for r in rows}))
    assert some - none == pytest.approx(0.05, abs=0.002)


def test_rows_follow_the_stated_truth() -> None:
    world = World(collapse=TrueLaw(0.3, 0.5, -0.2), spread=0.0, facts=100_000)
    rows, truth = simulate(world, [3e5], [1.5e7], (0, 0.01, 0.4, 0.9), 1, np.random.default_rng(0))
    collapse = truth[("collapse", 3e5, 1.5e7)]
    assert collapse == pytest.approx(0.3 + 0.5 - 0.2)
    for row in rows:
        assert row.share is not None and row.recall is not None
        true = 0.2 + 0.75 * float(height(world, log_odds(row.share), truth[("acquisition", 3e5, 1.5e7)], collapse))
        assert row.recall == pytest.approx(true, abs=0.01)
    assert rows[0].recall == pytest.approx(0.2, abs=0.01)


def test_retention_collapses_where_recall_does_or_by_its_own_law() -> None:
    rng = np.random.default_rng(0)
    same = true_points(World(collapse=TrueLaw(0.3, scatter=0.2)), 3e4, 1.5e6, rng)
    assert same["retention"] == same["collapse"] != 0.3
    own = World(retention=TrueLaw(-0.5), spread=0.0, facts=50_000)
    rows, truth = simulate(own, [3e4], [1.5e6], (0, 0.2, 0.6), 1, rng)
    assert truth[("retention", 3e4, 1.5e6)] == -0.5 and truth[("collapse", 3e4, 1.5e6)] == 0.6
    assert [row.retention for row in rows] == pytest.approx(
        [0.9, 0.9, 0.9 - 0.7 * (0.5 + log_odds(0.6)) / 0.8], abs=0.01
    )
    assert true_points(World(collapse=None), 3e4, 1.5e6)["retention"] is None
    assert true_points(World(retention=None), 3e4, 1.5e6) == {
        "acquisition": -0.7,
        "collapse": 0.6,
        "retention": None,
        "tolerance": -0.6,
    }


@pytest.mark.parametrize("shape", get_args(CurveShape))
def test_what_never_happens_leaves_recall_where_it_is(shape: CurveShape) -> None:
    assert height(World(shape=shape), X, None, 0.5) == pytest.approx(0)
    assert height(World(shape=shape), np.array([2.9]), -2.0, None) == pytest.approx(1, abs=1e-3)
    assert height(World(shape=shape), log_odds(0), -2.0, 0.5) == pytest.approx(0)


def test_both_shapes_fall_along_the_same_tangent() -> None:
    x = np.linspace(0.7, 0.9, 3)
    trapezoid, logistic = (height(World(shape=shape), x, -3.0, 0.4) for shape in ("trapezoid", "logistic"))
    assert logistic == pytest.approx(trapezoid, abs=0.01)


def test_noise_and_scatter_have_the_stated_size() -> None:
    rng = np.random.default_rng(0)
    world = World(collapse=TrueLaw(0.3, scatter=0.1), acquisition=None, spread=0.05, facts=10_000)
    rows, _ = simulate(world, [3e4], [1.5e6], [0.5], 2000, rng)
    assert np.std([row.recall for row in rows if row.recall is not None]) == pytest.approx(0.05, rel=0.1)
    points = [true_x(world.collapse, world, 3e4, 1.5e6, rng) for _ in range(2000)]
    assert np.std([x for x in points if x is not None]) == pytest.approx(0.1, rel=0.1)


def test_a_seed_moves_the_points_of_all_its_doses_together() -> None:
    world = World(knot_spread=0.2, spread=0.0, facts=20_000, fall=1.0, acquisition=TrueLaw(-3), collapse=TrueLaw(0.0))
    rows, _ = simulate(world, [3e4], [1.5e6], (0.7, 0.8), 200, np.random.default_rng(0))
    low, high = ([row.recall or 0 for row in rows if row.share == share] for share in (0.7, 0.8))
    assert np.std(low) == pytest.approx(0.75 * 0.2, rel=0.15)
    assert np.corrcoef(low, high)[0, 1] > 0.95


def test_hard_facts_are_hard_at_every_dose_and_recall_is_right_on_average() -> None:
    world = World(difficulty=1.5, spread=0.0, facts=64, acquisition=TrueLaw(-3, 0), collapse=None, plateau=0.6)
    studies = [simulate(world, [3e4], [1.5e6], (0.3, 0.6), 1, np.random.default_rng(i))[0] for i in range(400)]
    first, second = np.array([[row.recall or 0 for row in rows] for rows in studies]).T
    assert first.mean() == pytest.approx(0.6, abs=0.01)
    assert np.corrcoef(first, second)[0, 1] > 0.4
