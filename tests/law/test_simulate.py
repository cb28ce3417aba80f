import numpy as np
import pytest

from infusionlaw.law.dose import log_odds
from infusionlaw.law.simulate import TrueLaw, World, height, simulate, true_x


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
