"""Whether a curve rises and falls at all: clear falls are seen however small the noise, none is seen in noise."""

import numpy as np
import pytest

from infusionlaw.law.points.levels import Observed
from infusionlaw.law.points.significance import near_rivals, p_value
from infusionlaw.law.uncertainty import perturbed

X = np.array([-np.inf, -np.inf, *np.linspace(-1, 1.5, 11)])


def curve(fall: float, sd: float, seed: int = 0) -> Observed:
    """From .1 to a plateau of .9 that falls by so much from x = 0.5 on, with noise of known size."""
    height = np.clip((X + 1) / 0.5, 0, 1) * 0.8 + 0.1 - np.clip((X - 0.5) / 0.5, 0, 1) * fall
    y = height + np.random.default_rng(seed).normal(0, sd, len(X))
    return Observed(X, y, np.full(len(X), sd), 20.0, 0.1, False)


def p_of_a_fall(data: Observed) -> float:
    rng = np.random.default_rng(1)
    return p_value(data, "fall", perturbed(np.zeros(len(data.y)), data.sd, data.dof, 200, rng), rng)


@pytest.mark.parametrize("sd", [0.002, 0.05])
def test_a_clear_fall_is_seen_and_none_in_noise(sd: float) -> None:
    assert p_of_a_fall(curve(0.5, sd)) < 0.02
    assert min(p_of_a_fall(curve(0.0, sd, seed)) for seed in range(5)) > 0.02


def test_rivals_are_those_near_the_best_without_a_fall_or_else_the_nearest() -> None:
    chi2 = np.array([3.0, 30.0, np.inf, 26.0, 27.1])
    assert near_rivals(chi2, 0.5).tolist() == [0]
    assert near_rivals(chi2, 2.5).tolist() == [0, 3, 4]
    assert near_rivals(chi2 + 1000, 2.0).tolist() == [0, 3, 4]
    assert near_rivals(np.full(3, np.inf), 2.0).tolist() == []
