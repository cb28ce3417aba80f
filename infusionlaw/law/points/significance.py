"""Is there a rise, is there a fall? A likelihood-ratio test whose null distribution is simulated.

The noise is Student's t with nu degrees of freedom and one scale for a whole curve. Two statistics compare the best
shape without (chi2_0) with the best at all (chi2_1), and neither serves everywhere:

    (nu + chi2_0) / (nu + chi2_1)    the likelihood ratio: a curve that follows its shape tells that its noise is small
    chi2_0 - chi2_1                  with the noise as estimated from seeds and facts, for curves that follow no shape

Knots that vanish under the null make the chi-square law of either wrong, so the noise is drawn again and again around
the best shape without a rise (or a fall). The p-value is how often noise alone is as extreme by one of the two as the
data are (minP, Westfall and Young 1993).
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import STEP
from infusionlaw.law.points.detect import Fitted, allowed, fitted
from infusionlaw.law.points.levels import Observed, bases
from infusionlaw.law.points.shapes import COARSE, NEVER, falls, rises

IntArray = NDArray[np.intp]
NULL_DRAWS = 200
# Of the shapes that fit the null nearly as well as itself (chi2), at most so many compete in each draw.
RIVAL, MOST = 25.0, 2500
# Rises without a fall are tried on a finer lattice, lest a fall be claimed for what is only a rise between two widths.
PLAIN = (2 * STEP, 10)


def p_value(data: Observed, which: Literal["rise", "fall"], noise: Array, rng: np.random.Generator) -> float:
    """How often noise alone makes shapes with a rise (or a fall) beat those without by what they do here.

    noise (M, J): draws of the observations' errors.
    """
    rise, fall = rises(data.x, "hinge", COARSE, data.retention), falls(data.x, "hinge", COARSE)
    plain = rises(data.x, "hinge", PLAIN, data.retention) if which == "fall" else rise.take(np.array([-1]))
    flat = fall.take(np.array([-1]))
    null, every = fitted(data, plain, flat), fitted(data, rise, fall)
    without, own = _misfit(null)[:, 0], _misfit(every)
    best = int(without.argmin())
    centre = null.levels.mean[:, best, 0] @ np.stack(bases(plain.height[best], flat.height[0]))
    near = _misfit(fitted(replace(data, y=centre), rise, fall))
    near[:, -1] = np.inf if which == "fall" else near[:, -1]
    rivals = near_rivals(near.ravel(), float(_misfit(fitted(replace(data, y=centre), plain, flat)).min()))
    if not len(rivals):
        return 1.0  # there is no shape with a rise (or fall) between these doses
    if len(rivals) > MOST:
        rivals = rng.choice(rivals, MOST, replace=False)
    i, j = np.unravel_index(rivals, own.shape)
    simulated = [
        _chi2(data, plain.height, np.broadcast_to(flat.height, plain.height.shape), centre + noise).min(0),
        _chi2(data, rise.height[i], fall.height[j], centre + noise).min(0),
    ]
    drawn = _statistics(simulated[0], np.minimum(*simulated), data.dof)
    least = without.min(keepdims=True)
    return _least(drawn, _statistics(least, np.minimum(least, own.min()), data.dof)[:, 0])


def near_rivals(chi2: Array, least: float) -> IntArray:
    """Indices of the shapes whose chi2 comes within RIVAL of the least without a rise (or fall).

    Where the noise is so small that none does, of those that come within RIVAL of the nearest.
    """
    near = np.flatnonzero(chi2 <= least + RIVAL)
    return near if len(near) else np.flatnonzero(np.isfinite(chi2) & (chi2 <= chi2.min() + RIVAL))


def _statistics(without: Array, best: Array, dof: float) -> Array:
    """Both statistics of M sets of observations: (2, M); a gain of nothing is none."""
    gain = np.where(without - best > 1e-9, without - best, 0.0)
    return np.stack([gain, gain / (dof + best)])


def _least(drawn: Array, seen: Array) -> float:
    """How often the least of the p-values of drawn statistics (2, M) is as small as that of the seen ones (2,)."""
    if not seen.any():
        return 1.0
    own = (drawn[:, None, :] >= drawn[..., None]).mean(-1).min(0)
    mine = (drawn >= seen[:, None]).mean(-1).min()
    return float((1 + np.sum(own <= mine)) / (1 + len(own)))


def _misfit(fit: Fitted) -> Array:
    """chi2 of every pair; inf where the knots overlap or the plateau is not the highest level."""
    first, plateau, floor = fit.levels.mean
    flat, stays = fit.rises.knot[:, None] == NEVER, fit.falls.knot[None] == NEVER
    ordered = ((plateau >= first) | flat) & ((plateau >= floor) | stays | flat)
    return np.where(allowed(fit.rises, fit.falls) & ordered, fit.levels.chi2, np.inf)


def _chi2(data: Observed, rise: Array, fall: Array, y: Array) -> Array:
    """chi2 of K paired rises and falls (K, J) for M sets of observations (M, J): (K, M); inf where out of order."""
    weight, w = np.stack(bases(rise, fall), axis=1), data.sd**-2
    mean, precision = data.priors
    inverse = np.linalg.inv((weight * w) @ weight.transpose(0, 2, 1) + np.diag(precision))
    right = weight @ (w * y).T + (precision * mean)[:, None]
    levels = inverse @ right
    chi2 = (w * y**2).sum(1) + float((precision * mean**2).sum()) - (levels * right).sum(1)
    rising, falling = np.any(rise, axis=1, keepdims=True), np.any(rise * (1 - fall), axis=1, keepdims=True)
    ordered = ((levels[:, 1] >= levels[:, 0]) | ~rising) & ((levels[:, 1] >= levels[:, 2]) | ~falling)
    return np.where(ordered, chi2, np.inf)
