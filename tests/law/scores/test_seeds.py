"""One run beside the mean over seeds: intervals cover where a seed shifts every place to the same side."""

import numpy as np
import pytest

from infusionlaw.law.scores.seeds import SHIFT_DOF, SHIFT_PART, Shift, fit_shift

PLACES, NOISE = 24, 0.004


def runs(rng: np.random.Generator, seeds: int, sd: float = 0.03) -> list[list[float]]:
    """Losses about 2 by place, each seed's shift being the same at every place."""
    shifts = rng.normal(0, sd, seeds)
    return [[2.0 + shift + rng.normal(0, NOISE) for shift in shifts] for _ in range(PLACES)]


@pytest.mark.parametrize(
    ("sd", "least", "most"),
    [
        (0.015, 0.95, 1.0),
        (0.03, 0.85, 0.97),
        (0.045, 0.78, 0.92),
    ],  # half, as much as, and half as much again as believed
)
@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_the_interval_holds_a_run_of_another_seed(seeds: int, sd: float, least: float, most: float) -> None:
    inside, widths = [], []
    for number in range(300):
        rng = np.random.default_rng([number, seeds])
        seen = runs(rng, seeds, sd)
        low, high = np.quantile(fit_shift(seen).draws(2000, 0), [0.05, 0.95])
        other = 2.0 + rng.normal(0, sd) - np.mean(seen)
        inside.append(low <= other <= high)
        widths.append(high - low)
    assert least <= np.mean(inside) <= most
    assert np.median(widths) < 10 * sd  # 3.3 are what the known deviation would have


def test_places_do_not_count_as_seeds() -> None:
    """Three seeds at many places tell no more of another than three seeds at one."""
    rng = np.random.default_rng(1)
    assert fit_shift(runs(rng, 3)).dof == fit_shift(runs(rng, 3)[:1]).dof == SHIFT_DOF + 2


def test_of_one_seed_it_is_what_is_believed_beforehand() -> None:
    rng = np.random.default_rng(2)
    shift = fit_shift(runs(rng, 1))
    assert shift.dof == SHIFT_DOF and shift.scale == pytest.approx(SHIFT_PART * 2.0 * np.sqrt(2), rel=0.05)
    assert Shift(0.1, 5.0).draws(7, 3).shape == (7,)
