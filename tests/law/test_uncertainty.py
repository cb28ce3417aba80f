import numpy as np
import pytest

from infusionlaw.law.uncertainty import interval_of, perturbed


def test_draws_have_the_stated_spread_and_heavier_tails_when_little_is_known() -> None:
    rng = np.random.default_rng(0)
    many = perturbed(np.zeros(2), np.array([0.1, 0.2]), 1e6, 20000, rng)
    few = perturbed(np.zeros(2), np.array([0.1, 0.2]), 4, 20000, rng)
    assert many.std(0) == pytest.approx([0.1, 0.2], rel=0.03)
    assert np.quantile(few[:, 0], 0.95) > 1.2 * np.quantile(many[:, 0], 0.95)


def test_an_infinite_end_is_none() -> None:
    x = interval_of(np.array([-np.inf] * 10 + [1.0] * 80 + [2.0] * 10))
    assert (x.value, x.low, x.high) == (1.0, None, 2.0)
