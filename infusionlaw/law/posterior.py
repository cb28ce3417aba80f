"""Fitting a plane to points with errors, bounds and scatter: draws of its coefficients.

A point i lies off the law by scatter of standard deviation sigma, and is measured with its own error s_i:

    found:            x_i ~ N(z_i . beta, sigma^2 + s_i^2)
    not reached:      P(x_i > bound) = Phi((z_i . beta - bound) / sqrt(sigma^2 + s_i^2))
    before the grid:  P(x_i < bound) = Phi((bound - z_i . beta) / sqrt(sigma^2 + s_i^2))

beta is given an all but flat prior (exponents N(0, 2), far wider than any published slope). Three sizes hardly tell
sigma, so it has a weak prior, half a Student t with 4 degrees of freedom and scale 0.1 dex; averaging over what the
points and the prior leave open widens a prediction as a t distribution with few degrees of freedom would. For each
sigma on a grid the likelihood is log-concave in beta: Newton finds its mode, and draws around the modes are weighted by
the true posterior (sampling, importance, resampling), so that the skew which bounds bring is kept.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from infusionlaw.law.dose import Array

PRIOR_SCATTER, PRIOR_SCATTER_DOF, PRIOR_EXPONENT = 0.1, 4.0, 2.0
PRIOR_INTERCEPT = 10.0
SIGMAS = np.geomspace(0.005, 5.0, 70)
PROPOSALS, PROPOSAL_DOF = 20, 5


@dataclass(frozen=True)
class Evidence:
    """n points: design (n, p), x (value or bound) and error (n,), side: 0 found, 1 above the bound, -1 below it."""

    design: Array
    x: Array
    error: Array
    side: Array


def log_posterior(data: Evidence, beta: Array, sigma: Array) -> Array:
    """Log posterior density of beta (..., p) and log sigma (...), up to a constant."""
    width = np.sqrt(sigma[..., None] ** 2 + data.error**2)
    z = (beta @ data.design.T - data.x) / width
    points = np.where(
        data.side == 0, -0.5 * z**2 - np.log(width), log_ndtr(np.where(data.side == 0, 1.0, data.side) * z)
    )
    tail = np.log1p((sigma / PRIOR_SCATTER) ** 2 / PRIOR_SCATTER_DOF)
    scatter = np.log(sigma) - (PRIOR_SCATTER_DOF + 1) / 2 * tail
    prior = -0.5 * ((beta / _prior(beta.shape[-1])) ** 2).sum(-1)
    return np.asarray(points.sum(-1) + scatter + prior)


def _prior(count: int) -> Array:
    return np.array([PRIOR_INTERCEPT] + [PRIOR_EXPONENT] * (count - 1))


def modes(data: Evidence, sigma: Array) -> tuple[Array, Array]:
    """For each sigma (g,): the best beta (g, p) and the curvature there (g, p, p), by damped Newton steps."""
    count = data.design.shape[1]
    beta = np.zeros((len(sigma), count))
    beta[:, 0] = data.x.mean()
    ridge = np.diag(_prior(count) ** -2)
    width = np.sqrt(sigma[:, None] ** 2 + data.error**2)
    for _ in range(40):
        slope, bend = _derivatives(data, beta, width)
        gradient = slope @ data.design - beta @ ridge
        curvature = np.einsum("gn,np,nq->gpq", bend, data.design, data.design) + ridge
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        beta += step / np.maximum(1, np.abs(step).max(-1, keepdims=True))
    return beta, curvature


def _derivatives(data: Evidence, beta: Array, width: Array) -> tuple[Array, Array]:
    """First and minus second derivative of each point's log likelihood by its predicted x: (g, n) each."""
    z = (beta @ data.design.T - data.x) / width
    side = np.where(data.side == 0, 1.0, data.side)
    hazard = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(side * z))
    found = data.side == 0
    slope = np.where(found, -z, side * hazard) / width
    bend = np.where(found, 1.0, np.maximum(hazard * (hazard + side * z), 1e-9)) / width**2
    return slope, bend


def sample(data: Evidence, draws: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Posterior draws of beta (draws, p) and sigma (draws,)."""
    count = data.design.shape[1]
    best, curvature = modes(data, SIGMAS)
    root = np.linalg.cholesky(np.linalg.inv(curvature))
    half_log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(-1)
    height = log_posterior(data, best, SIGMAS) + half_log_det
    share = np.exp(height - height.max())
    at = rng.choice(len(SIGMAS), size=PROPOSALS * draws, p=share / share.sum())
    normal = rng.standard_normal((len(at), count))
    t = normal * np.sqrt(PROPOSAL_DOF / rng.chisquare(PROPOSAL_DOF, size=(len(at), 1)))
    beta = best[at] + np.einsum("gpq,gq->gp", root[at], t)
    log_t = -0.5 * (PROPOSAL_DOF + count) * np.log1p((t**2).sum(-1) / PROPOSAL_DOF)
    weight = log_posterior(data, beta, SIGMAS[at]) - (height[at] - half_log_det[at] + log_t)
    odds = np.exp(weight - weight.max()).cumsum()
    pick = np.searchsorted(odds, (np.arange(draws) + rng.random()) / draws * odds[-1])
    return beta[pick], SIGMAS[at][pick]
