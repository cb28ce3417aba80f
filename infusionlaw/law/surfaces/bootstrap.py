"""The bootstrap of a surface fit: the same fit to resampled runs, many at once.

What is independent is resampled: rows, or whole training curves where several rows are checkpoints of one run. Every
unit gets a random weight of mean 1 (the Bayesian bootstrap), so that no refit loses a size or a share altogether:

    weight ~ Gamma, of variance 1 / (1 - h)^2        h: the leverage of the unit

The variance is 1 where h is small. A run at a corner of the design pulls the fit towards itself, so its residual shows
too little of its error; that correction is known as HC3. Few runs tell their own noise badly: every draw is moved away
from the optimum by sqrt(f / chi-squared(f)), with f = units minus parameters, which gives the tails of Student's t.

A refit starts from the optimum; all refits are arrays of one computation (`descent`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.descent import descents, pull
from infusionlaw.law.surfaces.forms import Surface, Theta
from infusionlaw.law.surfaces.problem import Problem, tiled

POWER, DEPENDENT, MOST_LEVERAGE, MOST_STRETCH = 2.0, 1e-7, 0.6, 10.0


def losses_at(surface: Surface, theta: Theta, conditions: Conditions) -> Array:
    """The losses (M, n) of M parameter sets at n conditions. theta: a number, or M numbers, each."""
    sets = max((np.size(value) for value in theta.values()), default=1)
    return surface.loss(*tiled(theta, conditions, sets)).reshape(sets, -1)


def units_of(curves: Sequence[str | None] | None, rows: int) -> NDArray[np.intp]:
    """The number of the independent unit of each row, (n,): its curve where it has one, else itself."""
    names = [None] * rows if curves is None else list(curves)
    keys = [("row", str(i)) if name is None else ("curve", name) for i, name in enumerate(names)]
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([order[key] for key in keys])


def resampled(problem: Problem, x: Array, units: NDArray[np.intp], draws: int, seed: int) -> Array:
    """Weights (draws, n) of rows, one weight a unit. x: the optimum (free,)."""
    weight = np.sqrt(pull(problem, problem.residuals(x)))
    shape = (1 - leverages(units, problem.jacobian(x) * weight[:, None])) ** POWER
    return np.asarray(np.random.default_rng(seed).gamma(shape, 1 / shape, size=(draws, len(shape)))[:, units])


def stretches(units: NDArray[np.intp], parameters: int, draws: int, seed: int) -> Array:
    """How much further than its refit each draw (draws,) lies from the optimum: the tails of Student's t."""
    left = int(units.max()) + 1 - parameters
    factor = np.sqrt(left / np.random.default_rng(seed + 1).chisquare(left, size=draws))
    return np.asarray(np.minimum(factor, MOST_STRETCH))


def leverages(units: NDArray[np.intp], jacobian: Array) -> Array:
    """How much of the fit at each unit is the unit's own doing, 0 to MOST_LEVERAGE. jacobian: of residuals, weighed."""
    length = np.linalg.norm(jacobian, axis=0)
    own, values, _ = np.linalg.svd(jacobian / np.where(length > 0, length, 1.0), full_matrices=False)
    own = own[:, values > DEPENDENT * values.max(initial=0.0)]
    found = [np.linalg.norm(own[units == unit], 2) ** 2 for unit in range(units.max() + 1)]
    return np.minimum(found, MOST_LEVERAGE)


def refit(problem: Problem, start: Array, weights: Array) -> Array:
    """Fit a problem again with weights (M, n) of its rows, each from `start` (free,); x (M, free)."""
    return descents(problem, np.tile(start, (len(weights), 1)), weights)[0]
