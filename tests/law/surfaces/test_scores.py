"""Scores predicted from a loss, from a size, and through a loss that is itself predicted."""

import numpy as np
import pytest

from infusionlaw.errors import InputError
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import SurfaceFit, fit_surface
from infusionlaw.law.surfaces.known import SURFACES
from infusionlaw.law.surfaces.scores import SCORE_BY_LOSS, SCORE_BY_SIZE, score_through_loss

SIZE, TOKENS = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e9, 3e10, 4)))
TABLE, TARGET = Conditions(SIZE, TOKENS), Conditions([4e9], [1e11])
LOSS = {"e": 0.52, "a": 6.0, "b": 6.02, "alpha": 0.34, "beta": 0.28}
SCORE = {"floor": 0.25, "ceiling": 0.9, "k": 3.0, "L0": 2.8}


def fits(seed: int, draws: int = 100) -> tuple[SurfaceFit, SurfaceFit]:
    """Fits of both steps to one simulated table."""
    rng = np.random.default_rng(seed)
    true = SURFACES["chinchilla"].loss(LOSS, TABLE)
    loss = true * np.exp(rng.normal(0, 0.005, len(true)))
    score = SCORE_BY_LOSS.loss(SCORE, Conditions(loss=true)) + rng.normal(0, 0.01, len(true))
    given = {"floor": 0.25}
    return (
        fit_surface(SURFACES["chinchilla"], TABLE, loss, delta=0.01, draws=draws),
        fit_surface(SCORE_BY_LOSS, Conditions(loss=loss), score, on="linear", delta=np.inf, fixed=given, draws=draws),
    )


def test_the_interval_of_a_score_through_a_loss_holds_the_truth() -> None:
    true = SCORE_BY_LOSS.loss(SCORE, Conditions(loss=SURFACES["chinchilla"].loss(LOSS, TARGET)))[0]
    found = [score_through_loss(*fits(seed, draws=50), TARGET)[0] for seed in range(6)]
    assert sum((each.low or 0) <= true <= (each.high or 0) for each in found) >= 4


def test_a_predicted_loss_is_less_certain_than_a_known_one() -> None:
    loss, score = fits(0)
    known = score.interval_at(Conditions(loss=loss.predict(TARGET)))[0]
    through = score_through_loss(loss, score, TARGET)[0]
    assert through.value == pytest.approx(known.value)
    assert None not in (known.low, known.high, through.low, through.high)
    assert through.high - through.low > known.high - known.low  # type: ignore[operator]


def test_without_draws_a_score_has_no_interval() -> None:
    loss, score = fits(0, draws=0)
    (found,) = score_through_loss(loss, score, TARGET)
    assert found.value == pytest.approx(SCORE_BY_LOSS.loss(SCORE, Conditions(loss=2.0))[0], abs=0.2)
    assert found.low is None and found.high is None


def test_a_score_by_size_stays_a_score() -> None:
    """Far up its interval ends at 1, however badly the ceiling is known."""
    size = np.geomspace(1e6, 1e9, 10)
    noise = np.random.default_rng(0).normal(0, 0.02, 10)
    truth = {"floor": 0.0, "ceiling": 1.0, "k": 0.6, "x0": 8.5}
    fit = fit_surface(
        SCORE_BY_SIZE, Conditions(size), SCORE_BY_SIZE.loss(truth, Conditions(size)) + noise, on="linear", delta=np.inf
    )
    (found,) = fit.interval_at(Conditions(1e12))
    assert found.low is not None and found.high is not None
    assert 0 <= found.low < found.high <= 1
    assert found.low <= SCORE_BY_SIZE.loss(truth, Conditions(1e12))[0]


def test_a_score_by_loss_asks_for_the_loss() -> None:
    with pytest.raises(InputError, match='"loss" is not known'):
        fit_surface(SCORE_BY_LOSS, TABLE, np.full(len(TABLE), 0.5))
