"""Draws: how a measured score's uncertainty is carried on, and how draws are read as an interval.

The bootstrap of a dose's mean is the smoothed one: a normal draw with the variance of the mean over facts and seeds,
made heavier tailed (Student's t) by how poorly that is known. Resampling two seeds as they are would give zero width
when they agree.
"""

import numpy as np

from infusionlaw.law.dose import LEVEL, Array, Interval


def perturbed(mean: Array, sd: Array, dof: float, draws: int, rng: np.random.Generator) -> Array:
    """Bootstrap draws (draws, J) of J means: Student's t with `dof`, one common scale factor a draw."""
    factor = np.sqrt(dof / rng.chisquare(dof, size=(draws, 1)))
    return np.asarray(mean + rng.standard_normal((draws, len(mean))) * sd * factor)


def interval_of(draws: Array) -> Interval:
    """Median and 90 % interval of draws that may hold -inf and inf; an infinite end is None."""
    low, value, high = np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], method="inverted_cdf")
    return Interval(*(float(end) if np.isfinite(end) else None for end in (value, low, high)))


def expected(draws: Array) -> Interval:
    """Mean and 90 % interval of draws, which is widened to the mean where a few far draws put that outside."""
    found, mean = interval_of(draws), float(draws.mean())
    low, high = found.low, found.high
    return Interval(mean, None if low is None else min(low, mean), None if high is None else max(high, mean))
