"""The noise of a measured score: recovered where it is known, from seeds and from how smooth a curve is."""

import numpy as np
import pytest

from infusionlaw.law.points.noise import (
    GROWTH_PRIOR,
    GROWTHS,
    Runs,
    Squares,
    about_curve,
    between_seeds,
    growth,
    relative_noise,
    run_error,
    shrunk_variance,
    within_doses,
)

SHARES = np.array([0, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95])
RISES = 0.6 * ((1 - SHARES) ** -0.2 - 1)
with np.errstate(divide="ignore"):
    X = np.log10(SHARES / (1 - SHARES))


def test_a_perfect_score_still_has_an_error() -> None:
    assert run_error(1.0, 0.0, 100, 0.001) == pytest.approx(np.sqrt(1 / 102 * 101 / 102 / 100))
    assert run_error(0.5, None, None, 0.01) == 0.01
    assert run_error(0.5, 0.04, 100, 0.01) == 0.04


def test_between_seed_variance_is_recovered_and_never_zero() -> None:
    rng = np.random.default_rng(0)
    seen = within_doses([(rng.normal(0.5, 0.1, 3), np.full(3, 0.02)) for _ in range(300)])
    assert seen.dof == 600
    assert shrunk_variance(seen, 0.05**2, 2.0, 1e-4) == pytest.approx(0.1**2 - 0.02**2, rel=0.15)
    agree = within_doses([(np.array([0.5, 0.5]), np.full(2, 0.04))] * 3)
    assert shrunk_variance(agree, 0.05**2, 2.0, 1e-4) == 1e-4


def test_a_curve_of_one_seed_is_as_noisy_as_the_others_and_they_as_the_prior() -> None:
    nothing = Squares()
    assert between_seeds(nothing, [], 0.05).variance == pytest.approx(0.05**2)
    noisy = between_seeds(nothing, [Squares(100 * 0.2**2, 100)], 0.05)
    assert noisy.variance == pytest.approx(0.2**2, rel=0.05)
    assert noisy.dof > between_seeds(nothing, [], 0.05).dof


def losses(rng: np.random.Generator, seeds: int, sd: np.ndarray, rises: np.ndarray = RISES) -> Runs:
    errors = np.full(seeds, 1e-6)
    return [(3 + rise + rng.normal(0, s, seeds), errors) for rise, s in zip(rises, sd, strict=True)]


def test_how_smooth_a_loss_curve_is_tells_its_noise_with_one_seed() -> None:
    rng, even = np.random.default_rng(1), np.ones(7)
    seen = sum((about_curve(X, losses(rng, 1, 0.02 * even), "share", even) for _ in range(200)), Squares())
    assert seen.dof == 200 * 4
    assert np.sqrt(seen.value / seen.dof) == pytest.approx(0.02, rel=0.1)
    assert about_curve(X[:3], losses(rng, 1, even)[:3], "share", even[:3]) == Squares()


def test_a_loss_curve_of_another_form_is_taken_for_noise_and_not_for_precision() -> None:
    steps = np.array([0, 0, 0.2, 0.2, 0.2, 0.9, 0.9])
    seen = about_curve(X, losses(np.random.default_rng(1), 1, np.full(7, 1e-3), steps), "share", np.ones(7))
    assert np.sqrt(seen.value / seen.dof) > 0.05


@pytest.mark.parametrize("truth", [0.05, 1.6])
def test_noise_that_grows_with_the_rise_is_told_from_noise_that_does_not(truth: float) -> None:
    rng, sd = np.random.default_rng(2), 0.01 * np.hypot(1, RISES / truth)
    found = growth([losses(rng, 3, sd) for _ in range(4)])
    assert abs(int(np.argmin(np.abs(GROWTHS - found))) - int(np.argmin(np.abs(GROWTHS - truth)))) <= 1
    assert growth([losses(rng, 1, sd)]) == GROWTH_PRIOR
    assert relative_noise(losses(rng, 1, 0 * sd), truth) == pytest.approx(np.hypot(1, RISES / truth))
    assert (relative_noise(losses(rng, 1, sd), np.inf) == 1).all()
