import numpy as np
import pytest

from infusionlaw.law.uncertainty import excess_squares, interval_of, perturbed, run_error, shrunk_variance


def test_a_perfect_score_still_has_an_error() -> None:
    assert run_error(1.0, 0.0, 100, 0.001) == pytest.approx(np.sqrt(1 / 102 * 101 / 102 / 100))
    assert run_error(0.5, None, None, 0.01) == 0.01
    assert run_error(0.5, 0.04, 100, 0.01) == 0.04


def test_between_seed_variance_is_recovered_and_never_zero() -> None:
    rng = np.random.default_rng(0)
    doses = [(rng.normal(0.5, 0.1, 3), np.full(3, 0.02)) for _ in range(300)]
    squares, dof = excess_squares(doses)
    assert dof == 600
    assert shrunk_variance(squares, dof, 0.05**2, 2.0, 1e-4) == pytest.approx(0.1**2 - 0.02**2, rel=0.15)
    agree = [(np.array([0.5, 0.5]), np.full(2, 0.04))] * 3
    assert shrunk_variance(*excess_squares(agree), 0.05**2, 2.0, 1e-4) == 1e-4


def test_draws_have_the_stated_spread_and_heavier_tails_when_little_is_known() -> None:
    rng = np.random.default_rng(0)
    many = perturbed(np.zeros(2), np.array([0.1, 0.2]), 1e6, 20000, rng)
    few = perturbed(np.zeros(2), np.array([0.1, 0.2]), 4, 20000, rng)
    assert many.std(0) == pytest.approx([0.1, 0.2], rel=0.03)
    assert np.quantile(few[:, 0], 0.95) > 1.2 * np.quantile(many[:, 0], 0.95)


def test_an_infinite_end_is_none() -> None:
    x = interval_of(np.array([-np.inf] * 10 + [1.0] * 80 + [2.0] * 10))
    assert (x.value, x.low, x.high) == (1.0, None, 2.0)
