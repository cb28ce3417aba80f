import numpy as np
import pytest

from infusionlaw.law.trapezoid import ZERO, bases, candidates, draw_knots, p_value, problem, solve

X = np.array([-0.95, -0.37, 0.18, 0.75, 1.06, 1.51])


def _recall(c: float = 0.4, width: float = 1.0) -> np.ndarray:
    rise, fall = np.clip((X + 0.9) / 0.5, 0, 1), np.clip((c + width - X) / width, 0, 1)
    return 0.2 + 0.75 * rise * fall


def _task(y: np.ndarray, sd: float = 0.03):  # type: ignore[no-untyped-def]
    x = np.concatenate([[ZERO], X])
    return problem(x, np.concatenate([[0.2], y]), np.full(7, sd), candidates(X, False), False)


def test_bases_are_the_formula() -> None:
    knots = candidates(X, False)
    lower, upper = bases(knots, X, False)
    i = int(np.flatnonzero((knots.a > -1) & ~knots.never_fall)[7])
    for j, x in enumerate(X):
        rise = np.clip((x - knots.a[i]) / (knots.b[i] - knots.a[i]), 0, 1)
        fall = np.clip((knots.d[i] - x) / (knots.d[i] - knots.c[i]), 0, 1)
        assert upper[i, j] == pytest.approx(rise * fall)
    assert lower + upper == pytest.approx(np.ones_like(upper))
    assert np.all(knots.b <= knots.c)


def test_levels_agree_with_ordinary_least_squares() -> None:
    task = _task(_recall())
    chi2, lower, upper = (part[:, 0] for part in solve(task, task.y[None]))
    i = int(np.argmin(chi2))
    design = np.stack([task.lower[i], task.upper[i]], axis=1)
    levels, squares, *_ = np.linalg.lstsq(design, task.y, rcond=None)
    assert (lower[i], upper[i]) == pytest.approx(levels, abs=1e-4)
    assert chi2[i] == pytest.approx(squares[0] / 0.03**2, abs=1e-3)


@pytest.mark.parametrize("hinge", [0.35, 0.6, 0.9])
def test_drawn_hinges_surround_the_truth_without_noise(hinge: float) -> None:
    task = _task(_recall(hinge), sd=0.01)
    knots = draw_knots(task, np.repeat(task.y[None], 400, 0), np.random.default_rng(0))
    assert np.quantile(knots.c, 0.05) < hinge < np.quantile(knots.c, 0.95)
    assert np.median(knots.c) == pytest.approx(hinge, abs=0.15)


def test_p_value_tells_a_fall_from_none() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.03, (200, 7))
    falling, flat_top, flat = _task(_recall(0.4)), _task(_recall(9.0)), _task(np.full(6, 0.2))
    assert p_value(falling, lambda knots: knots.never_fall, noise, rng) < 0.01
    assert p_value(flat_top, lambda knots: knots.never_fall, noise, rng) > 0.3
    assert p_value(flat_top, lambda knots: knots.never_rise, noise, rng) < 0.01
    assert p_value(flat, lambda knots: knots.never_rise, noise, rng) > 0.3
