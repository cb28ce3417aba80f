"""The bootstrap of a surface fit: the same fit to resampled runs, many at once.

What is independent is resampled: rows, or whole training curves where several rows are checkpoints of one run. Every
unit gets a random weight of mean 1 (the Bayesian bootstrap), so that no refit loses a size or a share altogether:

    weight ~ Gamma, of variance 1 / (1 - h)^2        h: the leverage of the unit

The variance is 1 where h is small. A run at a corner of the design pulls the fit towards itself, so its residual shows
too little of its error; that correction is known as HC3.

A refit starts from the optimum and descends by Levenberg-Marquardt with the exact Jacobian; min(1, delta / |z|) makes
Huber's rho a weighted square. All refits are arrays of one computation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.forms import Surface, Theta
from infusionlaw.law.surfaces.problem import TINY, Problem, tiled

DAMPING, LEAST_DAMPING, MOST_DAMPING, EASED, STIFFENED = 1e-3, 1e-9, 1e9, 5.0, 7.0
# A refit has arrived when CALM rounds in a row win less than SETTLED of its objective.
ROUNDS, SETTLED, CALM, EXACT = 100, 1e-4, 2, 1e-16
POWER, DEPENDENT, MOST_LEVERAGE = 2.0, 1e-7, 0.9
MOST_CELLS = 2_000_000  # derivatives computed at once


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
    pull = np.sqrt(_pull(problem, problem.residuals(x)))
    shape = (1 - leverages(units, problem.jacobian(x) * pull[:, None])) ** POWER
    return np.asarray(np.random.default_rng(seed).gamma(shape, 1 / shape, size=(draws, len(shape)))[:, units])


def leverages(units: NDArray[np.intp], jacobian: Array) -> Array:
    """How much of the fit at each unit is the unit's own doing, 0 to MOST_LEVERAGE. jacobian: of residuals, weighed."""
    length = np.linalg.norm(jacobian, axis=0)
    own, values, _ = np.linalg.svd(jacobian / np.where(length > 0, length, 1.0), full_matrices=False)
    own = own[:, values > DEPENDENT * values.max(initial=0.0)]
    found = [np.linalg.norm(own[units == unit], 2) ** 2 for unit in range(units.max() + 1)]
    return np.minimum(found, MOST_LEVERAGE)


def refit(problem: Problem, start: Array, weights: Array) -> Array:
    """Fit a problem again with weights (M, n) of its rows, each from `start` (free,); x (M, free)."""
    few = max(1, MOST_CELLS // max(1, weights.shape[1] * len(start)))
    parts = [_refit(problem, start, weights[i : i + few]) for i in range(0, len(weights), few)]
    return np.concatenate(parts) if parts else np.empty((0, len(start)))


def _refit(problem: Problem, start: Array, weights: Array) -> Array:
    low, high = problem.bounds
    x, going = np.tile(np.clip(start, low, high), (len(weights), 1)), np.arange(len(weights))
    damping, calm = np.full(len(weights), DAMPING), np.zeros(len(weights), dtype=int)
    z, slopes = problem.states(x)
    value = _objective(problem, z, weights)
    for _ in range(ROUNDS):
        if not len(going):
            break
        step = _step(problem, x[going], z[going], slopes[going], weights[going], damping[going])
        tried = np.clip(x[going] + step, low, high)
        new_z, new_slopes = problem.states(tried)
        new = _objective(problem, new_z, weights[going])
        better = new <= value[going]
        calm[going] = np.where(better & (value[going] - new <= SETTLED * value[going] + EXACT), calm[going] + 1, 0)
        taken = going[better]
        x[taken], z[taken], slopes[taken], value[taken] = tried[better], new_z[better], new_slopes[better], new[better]
        damping[going] = np.maximum(np.where(better, damping[going] / EASED, damping[going] * STIFFENED), LEAST_DAMPING)
        going = going[(calm[going] < CALM) & (damping[going] < MOST_DAMPING)]
    return x


def _objective(problem: Problem, z: Array, weights: Array) -> Array:
    size = np.abs(z)
    near = np.minimum(size, problem.delta)
    return np.asarray((weights * (near**2 / 2 + near * (size - near))).sum(axis=1))


def _pull(problem: Problem, z: Array) -> Array:
    """The weights that make Huber's rho a weighted square."""
    return np.minimum(1.0, problem.delta / np.maximum(np.abs(z), TINY))


def _step(problem: Problem, x: Array, z: Array, slopes: Array, weights: Array, damping: Array) -> Array:
    """The step of each refit (M, free); 0 for a parameter that a bound holds."""
    low, high = problem.bounds
    pull = weights * _pull(problem, z)
    gradient = np.einsum("mn,mnp->mp", pull * z, slopes)
    free = ~(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))
    normal = np.swapaxes(slopes, 1, 2) @ (slopes * pull[..., None])
    scale = np.sqrt(np.maximum(np.einsum("mpp->mp", normal), TINY))
    normal = normal / (scale[:, :, None] * scale[:, None, :]) * (free[:, :, None] & free[:, None, :])
    own = range(len(low))
    normal[:, own, own] = np.where(free, 1 + damping[:, None], 1.0)
    solved = np.linalg.solve(normal, np.where(free, -gradient / scale, 0.0)[..., None])[..., 0]
    return np.asarray(solved / scale)
