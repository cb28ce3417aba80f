"""Many descents at once: the minima of one problem from many starts, or for many weights of its rows.

Levenberg-Marquardt with the exact Jacobian; min(1, delta / |z|) makes Huber's rho a weighted square. Every round is a
few operations on arrays, whatever the number of descents. The best ends of a fit go on by L-BFGS.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.problem import TINY, Problem

DAMPING, LEAST_DAMPING, MOST_DAMPING, EASED, STIFFENED = 1e-3, 1e-9, 1e9, 5.0, 7.0
# A descent has arrived when CALM rounds in a row win less than SETTLED of its objective.
ROUNDS, SETTLED, CALM, EXACT = 200, 1e-6, 3, 1e-16
POLISHED, AGAIN = 3, 4  # another round of L-BFGS improves a poor scaling of the first
MOST_CELLS = 2_000_000  # derivatives computed at once


def descents(problem: Problem, starts: Array, weights: Array) -> tuple[Array, Array]:
    """The ends (M, free) of M descents and their objectives (M,). starts: (M, free); weights: of the rows, (M, n)."""
    few = max(1, MOST_CELLS // max(1, weights.shape[1] * starts.shape[1]))
    parts = [_descents(problem, starts[i : i + few], weights[i : i + few]) for i in range(0, len(weights), few)]
    if not parts:
        return starts, np.empty(0)
    return np.concatenate([x for x, _ in parts]), np.concatenate([value for _, value in parts])


def _descents(problem: Problem, starts: Array, weights: Array) -> tuple[Array, Array]:
    low, high = problem.bounds
    x, going = np.clip(starts, low, high), np.arange(len(weights))
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
    return x, value


def _objective(problem: Problem, z: Array, weights: Array) -> Array:
    size = np.abs(z)
    near = np.minimum(size, problem.delta)
    return np.asarray((weights * (near**2 / 2 + near * (size - near))).sum(axis=1))


def pull(problem: Problem, z: Array) -> Array:
    """The weights that make Huber's rho a weighted square."""
    return np.minimum(1.0, problem.delta / np.maximum(np.abs(z), TINY))


def _step(problem: Problem, x: Array, z: Array, slopes: Array, weights: Array, damping: Array) -> Array:
    """The step of each refit (M, free); 0 for a parameter that a bound holds."""
    low, high = problem.bounds
    pulled = weights * pull(problem, z)
    gradient = np.einsum("mn,mnp->mp", pulled * z, slopes)
    free = ~(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))
    normal = np.swapaxes(slopes, 1, 2) @ (slopes * pulled[..., None])
    scale = np.sqrt(np.maximum(np.einsum("mpp->mp", normal), TINY))
    normal = normal / (scale[:, :, None] * scale[:, None, :]) * (free[:, :, None] & free[:, None, :])
    own = range(len(low))
    normal[:, own, own] = np.where(free, 1 + damping[:, None], 1.0)
    solved = np.linalg.solve(normal, np.where(free, -gradient / scale, 0.0)[..., None])[..., 0]
    return np.asarray(solved / scale)


def descend(problem: Problem, found: Sequence[Array]) -> Array:
    """The lowest minimum reached from any start: all descend, the best of them on by L-BFGS."""
    ends, value = descents(problem, np.array(found), np.ones((len(found), len(problem.loss))))
    return min((_polished(problem, ends[i]) for i in np.argsort(value)[:POLISHED]), key=problem.objective)


def _polished(problem: Problem, x: Array) -> Array:
    """L-BFGS in steps that move the residuals alike whichever parameter is moved; begun again until nothing is won."""
    low, high = problem.bounds
    for _ in range(AGAIN):
        here, unit = x, max(problem.objective(x), TINY)
        length = np.linalg.norm(problem.jacobian(here), axis=0)
        step = 1 / np.where(length > 0, length, 1.0)

        def at(u: Array, here: Array = here, step: Array = step) -> Array:
            return np.clip(here + u * step, low, high)

        def fall(u: Array, unit: float = unit, step: Array = step) -> tuple[float, Array]:
            value, slope = problem.value_and_gradient(at(u))
            return value / unit, np.nan_to_num(slope * step / unit)

        limits = list(zip((low - here) / step, (high - here) / step, strict=True))
        options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 300, "maxcor": 20, "maxls": 50}
        u = minimize(fall, np.zeros_like(here), jac=True, method="L-BFGS-B", bounds=limits, options=options).x
        won = unit - problem.objective(at(u))
        x = at(u) if won > 0 else here
        if won <= 1e-12 * unit:
            break
    return x
