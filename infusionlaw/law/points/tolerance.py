"""Points of a tolerance: where validation loss has risen by a stated amount over the start, or else over dose 0.

Where a score has fallen so far below the start is found alike, from its negative.

Validation loss does not fall with the dose. Its means are made monotone (isotonic regression) and joined by a monotone
cubic, which follows the bend that straight lines would cut. The point is where the line passes the loss of the start
plus the tolerance; without a start its value at dose 0 counts, without that the one at the smallest dose. The
likelihood is how often bootstrap draws cross in a bin.
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import STEP, Likelihood, aligned, scaled


def rise_of_loss(x: Array, loss: Array, weight: Array, tolerance: float, start: float | None = None) -> Likelihood:
    """Where draws of validation loss cross. x (J,): doses above 0; loss (M, J or J + 1), dose 0 first; weight alike."""
    level = isotonic(loss, weight)
    limit, line = (level[:, :1] if start is None else start) + tolerance, level[:, level.shape[1] - len(x) :]
    start, count = aligned(x[0], x[-1])
    edges = np.clip(start + STEP * np.arange(count + 1), x[0], x[-1])
    above = PchipInterpolator(x, line, axis=1)(edges) >= limit
    crossed = np.where(above.any(1), above.argmax(1), count + 1)
    inside = np.bincount(crossed, minlength=count + 2)[1 : count + 1] / (len(loss) * STEP)
    return scaled(start, _smoothed(inside), float(np.mean(crossed == 0)), float(np.mean(crossed == count + 1)))


def _smoothed(inside: Array) -> Array:
    """Counts evened out over neighbouring bins, so that few draws leave no holes."""
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0])
    weight = np.convolve(np.ones(len(inside)), kernel, mode="full")[2:-2]
    return np.asarray(np.convolve(inside, kernel, mode="full")[2:-2] / weight)


def isotonic(y: Array, weight: Array) -> Array:
    """Weighted least-squares non-decreasing fit of each row of y (M, J): max over i of min over k of means i..k."""
    count = y.shape[1]
    totals = np.concatenate([np.zeros((len(y), 1)), (y * weight).cumsum(1)], axis=1)
    weights = np.concatenate([[0.0], weight.cumsum()])
    out = np.full_like(y, -np.inf)
    for i in range(count):
        means = (totals[:, i + 1 :] - totals[:, i : i + 1]) / (weights[i + 1 :] - weights[i])
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        np.maximum(out[:, i:], least, out=out[:, i:])
    return out
