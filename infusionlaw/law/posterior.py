"""Fitting a form to points: draws of its parameters and of the scatter around it.

Each point enters with its whole likelihood L_i (`likelihood`), so bounds are bounds, two places stay two places, and
skew is kept. The law places point i at mu_i = x(theta) with scatter sigma:

    log p(theta, sigma) = sum_i log integral L_i(x) N(x; mu_i, sigma^2) dx + log prior(theta) + log prior(sigma)

Few sizes hardly tell sigma, so it has a weak prior, half a Student t with 4 degrees of freedom and scale SCATTER;
averaging over what points and prior leave open widens a prediction as a t distribution with few degrees of freedom
would. Sampling is by adaptive importance (population Monte Carlo, Cappe et al. 2004): a Student t is fitted to the
weighted draws, drawn from again, and after some rounds the draws are taken in proportion to their weight. It starts
from least squares, linearised with the form's gradient, from several starts.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import gammaln, logsumexp

from infusionlaw.law.dose import Array
from infusionlaw.law.forms import Form, Places
from infusionlaw.law.likelihood import REACH, Likelihood, table

SCATTER, SCATTER_DOF = 0.1, 4.0
SIGMAS = np.geomspace(0.01, 3.0, 24)
MU_STEP, BEYOND = 0.05, 4.0
ROUNDS, SAMPLES, FINAL, DOF = 4, 3000, 12000, 5.0
STARTS = 5
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """Points at their conditions: values of log likelihood (n, S, M) over SIGMAS and the places mu (M,)."""

    at: Places
    mu: Array
    values: Array
    middle: Array
    spread: Array

    @classmethod
    def of(cls, at: Places, likelihoods: list[Likelihood]) -> Self:
        """Tables of the likelihoods of n points, and their medians and spreads for starting values."""
        low = min(item.start for item in likelihoods) - BEYOND
        high = max(float(item.edges[-1]) for item in likelihoods) + BEYOND
        mu = np.arange(low, high + MU_STEP, MU_STEP)
        rough = np.array([_rough(item) for item in likelihoods])
        return cls(at, mu, table(likelihoods, mu, SIGMAS), rough[:, 0], rough[:, 1])

    def take(self, keep: Mask) -> "Evidence":
        """The points that a mask (n,) keeps."""
        return Evidence(self.at.take(keep), self.mu, self.values[keep], self.middle[keep], self.spread[keep])

    def log_likelihood(self, x: Array, log_sigma: Array) -> Array:
        """log likelihood of each point (M, n) where the law places it at x (M, n) with scatter exp(log_sigma) (M,)."""
        i, u = _cell(np.clip(x, self.mu[0], self.mu[-1]), self.mu[0], MU_STEP, len(self.mu))
        step = np.log(SIGMAS[1] / SIGMAS[0])
        j, v = _cell(np.clip(log_sigma, np.log(SIGMAS[0]), np.log(SIGMAS[-1])), np.log(SIGMAS[0]), step, len(SIGMAS))
        n, j, v = np.arange(x.shape[1]), j[:, None], v[:, None]
        low = (1 - u) * self.values[n, j, i] + u * self.values[n, j, i + 1]
        high = (1 - u) * self.values[n, j + 1, i] + u * self.values[n, j + 1, i + 1]
        return np.asarray((1 - v) * low + v * high)


def _rough(item: Likelihood) -> tuple[float, float]:
    """Median and spread to start from; of a bound, half of REACH beyond it, give or take REACH."""
    low, middle, high = (item.quantile(p) for p in (0.16, 0.5, 0.84))
    if np.isfinite(middle):
        reach = float(np.clip(high, middle, middle + REACH) - np.clip(low, middle - REACH, middle))
        return middle, max(reach / 2, 0.02)
    end = item.start if middle < 0 else float(item.edges[-1])
    return end + np.sign(middle) * REACH / 2, REACH


def _cell(value: Array, start: float, step: float, count: int) -> tuple[Array, Array]:
    """Index of the grid cell and the position in it, 0..1."""
    place = (value - start) / step
    index = np.clip(np.floor(place).astype(int), 0, count - 2)
    return index, place - index


def log_prior(form: Form, theta: Array, log_sigma: Array) -> Array:
    """Log prior density of theta (M, p) and log sigma (M,), up to a constant that all forms share."""
    mean, sd = np.array(form.prior).T
    constant = -(np.log(sd) + 0.5 * np.log(2 * np.pi)).sum()
    tail = np.log1p((np.exp(log_sigma) / SCATTER) ** 2 / SCATTER_DOF)
    bounds = np.where((log_sigma < np.log(SIGMAS[0])) | (log_sigma > np.log(SIGMAS[-1])), -np.inf, 0.0)
    squares = (((theta - mean) / sd) ** 2).sum(1)
    return np.asarray(constant - squares / 2 + log_sigma - (SCATTER_DOF + 1) / 2 * tail + bounds)


def sample(form: Form, data: Evidence, draws: int, rng: np.random.Generator) -> Array:
    """Posterior draws (draws, p + 1): the parameters, then the scatter sigma."""
    z, log_w = _population(form, data, rng)
    weight = _weights(log_w).cumsum()
    pick = np.searchsorted(weight, (np.arange(draws) + rng.random()) / draws * weight[-1])
    found = z[rng.permutation(pick)]
    return np.column_stack([found[:, :-1], np.exp(found[:, -1])])


def log_evidence(form: Form, data: Evidence, rng: np.random.Generator) -> float:
    """Log marginal likelihood of the points under a form, up to a constant that all forms share."""
    _, log_w = _population(form, data, rng)
    return float(logsumexp(log_w) - np.log(len(log_w)))


def _population(form: Form, data: Evidence, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draws (FINAL, p + 1) of the parameters and log sigma, and their log importance weights (FINAL,)."""
    centre, root = _start(form, data)
    kept: list[tuple[Array, Array]] = []
    for count in (*[SAMPLES] * ROUNDS, FINAL):
        z = _student(centre, root, count, rng)
        log_w = _target(form, data, z) - _student_density(z, centre, root)
        kept = [*kept[-1:], (z, log_w)] if count == SAMPLES else [(z, log_w)]
        every, weight = np.concatenate([z for z, _ in kept]), _weights(np.concatenate([w for _, w in kept]))
        centre = weight @ every
        spread = (every - centre) * np.sqrt(weight)[:, None]
        root = np.linalg.cholesky(spread.T @ spread * 1.2 + 1e-8 * np.eye(len(centre)))
    return z, log_w


def _target(form: Form, data: Evidence, z: Array) -> Array:
    theta, log_sigma = z[:, :-1], z[:, -1]
    return np.asarray(data.log_likelihood(form.x(theta, data.at), log_sigma).sum(1) + log_prior(form, theta, log_sigma))


def _weights(log_w: Array) -> Array:
    """Normalised weights, the few largest cut so that no draw carries the rest (truncated importance, Ionides 2008)."""
    weight = np.exp(log_w - log_w.max())
    weight = np.minimum(weight, weight.mean() * np.sqrt(len(weight)))
    return np.asarray(weight / weight.sum())


def _student(centre: Array, root: Array, count: int, rng: np.random.Generator) -> Array:
    normal = rng.standard_normal((count, len(centre))) @ root.T
    return np.asarray(centre + normal * np.sqrt(DOF / rng.chisquare(DOF, size=(count, 1))))


def _student_density(z: Array, centre: Array, root: Array) -> Array:
    squares = (np.linalg.solve(root, (z - centre).T) ** 2).sum(0)
    p = len(centre)
    constant = gammaln((DOF + p) / 2) - gammaln(DOF / 2) - p / 2 * np.log(DOF * np.pi)
    return np.asarray(constant - np.log(np.diagonal(root)).sum() - (DOF + p) / 2 * np.log1p(squares / DOF))


def _start(form: Form, data: Evidence) -> tuple[Array, Array]:
    """Centre and root of the first draws: least squares on the points' medians, from several starts, made wide."""
    mean, sd = np.array(form.prior).T
    weight = 1 / np.hypot(data.spread, SCATTER)

    def misfit(theta: Array) -> Array:
        return np.concatenate([(form.x(theta[None], data.at)[0] - data.middle) * weight, (theta - mean) / sd])

    def slope(theta: Array) -> Array:
        return np.concatenate([form.gradient(theta[None], data.at)[0] * weight[:, None], np.diag(1 / sd)])

    first = mean.copy()
    first[0] = data.middle.mean() - (form.x(mean[None], data.at)[0] - mean[0]).mean()
    rng = np.random.default_rng(0)
    starts = [first, *(first + rng.standard_normal((STARTS - 1, len(mean))) * np.minimum(sd, 1.0))]
    best = min((least_squares(misfit, start, jac=slope) for start in starts), key=lambda fit: fit.cost)
    covariance = np.linalg.inv(best.jac.T @ best.jac)
    p = len(mean)
    wide = np.zeros((p + 1, p + 1))
    wide[:p, :p], wide[p, p] = 2.0 * covariance, 1.0
    return np.append(best.x, np.log(SCATTER)), np.asarray(np.linalg.cholesky(wide))
