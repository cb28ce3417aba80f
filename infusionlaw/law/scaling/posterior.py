"""Fitting a form to points: draws of its parameters and of the scatter around it.

Each point enters with its whole likelihood L_i (`likelihood`), so bounds are bounds, two places stay two places, and
skew is kept. The law places point i at mu_i = x(theta) with scatter sigma:

    p(theta, sigma) ~ prior(theta) prior(sigma) sum_h w_h prod_i integral L_i(x | h) N(x; mu_i, sigma^2) dx

h is a shape that the curves of all points may share (`pooling`), w_h how likely it is. A shape that is not quite theirs
moves all points alike: that makes the level of a law unsure, and not its slopes.

Few sizes hardly tell sigma, so it has a weak prior, half a Student t with 4 degrees of freedom and scale SCATTER_SCALE;
averaging over what points and prior leave open widens a prediction as a t distribution with few degrees of freedom
would. Sampling is by adaptive importance (population Monte Carlo, Cappe et al. 2004): a Student t is fitted to the
weighted draws, drawn from again, and after some rounds the draws are taken in proportion to their weight. The largest
weights are smoothed by a generalised Pareto distribution, whose shape says whether they can be relied on. It starts
from least squares, linearised with the form's gradient, from several starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import gammaln, logsumexp

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import REACH, Assumed, Likelihood, table
from infusionlaw.law.scaling.forms import Form, Linear, Places

SCATTER_SCALE, SCATTER_DOF = 0.03, 4.0
BAD = 0.7  # a Pareto k beyond this: too few draws carry the rest (Vehtari et al. 2024)
SIGMAS = np.geomspace(0.01, 3.0, 24)
MU_STEP, MU_BEYOND = 0.05, 4.0
ADAPTING_ROUNDS, SAMPLES, FINAL, PROPOSAL_DOF = 3, 1000, 4000, 4.0
INFLATE = 2.5
STARTS = 3
BLOCK = 200_000  # draws times points that are looked at together
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """Points at their conditions: values of log likelihood (H, n, S, M) over SIGMAS and the places mu (M,).

    shapes: how likely each shape is that the curves of all points may share (H,), adding up to 1. The points are
    independent given the shape, not without: a shape that is not quite theirs moves them all alike. shift: how far
    beyond their middles each shape has the points (H,).
    middle, spread: median and half of the 68 % interval (n,); of a bound (not `located`) a rough place beyond it.
    window: the lowest and highest x that the points' doses cover.
    """

    at: Places
    mu: Array
    values: Array
    shapes: Array
    shift: Array
    middle: Array
    spread: Array
    located: Mask
    window: tuple[float, float]

    @classmethod
    def of(cls, at: Places, points: Sequence[Likelihood | Sequence[Assumed]], weight: Array | None = None) -> Self:
        """Tables of the likelihoods of n points, and their medians and spreads for starting values.

        points: the likelihood of each, or its likelihoods under the same H shapes. weight (n,): what each point counts
        for, 1 if not given. The log likelihood of a point is multiplied by it.
        """
        shaped = [item for item in points if not isinstance(item, Likelihood)]
        shapes = np.array([own.weight for own in shaped[0]] if shaped else [1.0])
        shapes = shapes / shapes.sum()
        under = [
            [item if isinstance(item, Likelihood) else item[h].likelihood for item in points]
            for h in range(len(shapes))
        ]
        every = [item for own in under for item in own]
        window = min(item.start for item in every), max(float(item.edges[-1]) for item in every)
        mu = np.arange(window[0] - MU_BEYOND, window[1] + MU_BEYOND + MU_STEP, MU_STEP)
        count = len(points)
        weight = np.ones(count) if weight is None else weight
        values = table(every, mu, SIGMAS).reshape(len(under), count, len(SIGMAS), len(mu))
        values *= weight[:, None, None]
        rough = np.array([[_rough(item) for item in own] for own in under])
        middle, spread = np.tensordot(shapes, rough, 1).T
        shift = np.average(rough[:, :, 0] - middle, axis=1, weights=weight / spread**2)
        found = np.isfinite(np.array([[item.quantile(0.5) for item in own] for own in under]))
        return cls(
            at=at,
            mu=mu,
            values=values,
            shapes=shapes,
            shift=shift,
            middle=middle,
            spread=spread / np.sqrt(weight),
            located=np.asarray(found.all(0)),
            window=window,
        )

    def log_likelihood(self, x: Array, log_sigma: Array, shape: NDArray[np.intp]) -> Array:
        """log likelihood (M,) of all points under a shape each (M,).

        The law places the points at x (M, n) with scatter exp(log_sigma) (M,).
        """
        i, u = _cell(np.clip(x, self.mu[0], self.mu[-1]), self.mu[0], MU_STEP, len(self.mu))
        step = np.log(SIGMAS[1] / SIGMAS[0])
        j, v = _cell(np.clip(log_sigma, np.log(SIGMAS[0]), np.log(SIGMAS[-1])), np.log(SIGMAS[0]), step, len(SIGMAS))
        (_, n, sigmas, places), v = self.values.shape, v[:, None]
        flat, first = self.values.ravel(), ((shape[:, None] * n + np.arange(n)) * sigmas + j[:, None]) * places + i
        low = (1 - u) * flat[first] + u * flat[first + 1]
        high = (1 - u) * flat[first + places] + u * flat[first + places + 1]
        return np.asarray(((1 - v) * low + v * high).sum(1))


@dataclass(frozen=True)
class Posterior:
    """Weighted draws of a form: z (F, p + 1), the parameters and log sigma, and their weights (F,), adding up to 1.

    log_evidence: log marginal likelihood of the points, up to a constant that all forms share. k: the Pareto shape of
    the largest importance weights; beyond BAD the draws cannot be relied on.
    """

    form: Form
    z: Array
    weight: Array
    log_evidence: float
    k: float

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Return draws (count, p + 1): the parameters, then the scatter sigma."""
        found = self.z[_picked(self.weight, count, rng)]
        return np.column_stack([found[:, :-1], np.exp(found[:, -1])])


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
    tail = np.log1p((np.exp(log_sigma) / SCATTER_SCALE) ** 2 / SCATTER_DOF)
    bounds = np.where((log_sigma < np.log(SIGMAS[0])) | (log_sigma > np.log(SIGMAS[-1])), -np.inf, 0.0)
    squares = (((theta - mean) / sd) ** 2).sum(1)
    return np.asarray(constant - squares / 2 + log_sigma - (SCATTER_DOF + 1) / 2 * tail + bounds)


def posterior(form: Form, data: Evidence, rng: np.random.Generator) -> Posterior:
    """Fit a form to points: adaptive rounds of draws, then the final ones with their weights."""
    centre, root = _start(form, data)
    kept: list[tuple[Array, Array]] = []
    for _ in range(ADAPTING_ROUNDS):
        z, _, log_w = _drawn(form, data, centre, root, SAMPLES, rng)
        kept = [*kept[-1:], (z, log_w)]
        every, weight = np.concatenate([z for z, _ in kept]), _cut(np.concatenate([w for _, w in kept]))
        centre = weight @ every
        spread = (every - centre) * np.sqrt(weight)[:, None]
        root = np.linalg.cholesky(spread.T @ spread * INFLATE + 1e-8 * np.eye(len(centre)))
    z, shape, log_w = _drawn(form, data, centre, root, FINAL, rng)
    log_w, k = smoothed(log_w)
    total = float(logsumexp(log_w))
    z = _moved(z, data.shift[shape])
    return Posterior(form, z, np.exp(log_w - total), total - float(np.log(len(z))), k)


def _drawn(
    form: Form, data: Evidence, centre: Array, root: Array, count: int, rng: np.random.Generator
) -> tuple[Array, NDArray[np.intp], Array]:
    """Draws about a centre, a shape for each in proportion to its weight, and the draws' log weights.

    Each draw is judged where its shape shifts the points to.
    """
    z = _student(centre, root, count, rng)
    shape = _picked(data.shapes, count, rng)
    return z, shape, _target(form, data, _moved(z, data.shift[shape]), shape) - _student_density(z, centre, root)


def _picked(weight: Array, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """So many indices in proportion to their weight, as evenly as can be, in random order."""
    turn = (np.arange(count) + rng.random()) / count * weight.sum()
    return rng.permutation(np.minimum(np.searchsorted(weight.cumsum(), turn), len(weight) - 1))


def _moved(z: Array, shift: Array) -> Array:
    """Draws (M, p + 1) with their intercept, the first parameter of every form, moved by (M,)."""
    return np.concatenate([z[:, :1] + shift[:, None], z[:, 1:]], axis=1)


def _target(form: Form, data: Evidence, z: Array, shape: NDArray[np.intp]) -> Array:
    """Log posterior density (M,) of draws z (M, p + 1), in blocks, so that memory stays small with many points."""
    count = max(1, len(z) * len(data.middle) // BLOCK)
    blocks = zip(np.array_split(z, count), np.array_split(shape, count), strict=True)
    return np.concatenate([_target_of(form, data, *block) for block in blocks])


def _target_of(form: Form, data: Evidence, z: Array, shape: NDArray[np.intp]) -> Array:
    theta, log_sigma = z[:, :-1], z[:, -1]
    likelihood = data.log_likelihood(form.x(theta, data.at), log_sigma, shape)
    return np.asarray(likelihood + log_prior(form, theta, log_sigma))


def smoothed(log_w: Array) -> tuple[Array, float]:
    """Log importance weights with the largest replaced by quantiles of a generalised Pareto fit, and its shape k.

    Pareto-smoothed importance sampling (Vehtari et al. 2024). Of few or equal weights k is 0 and nothing changes.
    """
    count = int(min(0.2 * len(log_w), 3 * np.sqrt(len(log_w))))
    order, top = np.argsort(log_w), float(log_w.max())
    tail, cut = order[-count:], float(np.exp(log_w[order[-count - 1]] - top))
    above = np.exp(log_w[tail] - top) - cut
    if count < 5 or above[0] <= 0 or above[-1] < 1e-12:
        return log_w, 0.0
    k, scale = _pareto(above)
    part = (np.arange(count) + 0.5) / count
    quantiles = scale * (np.expm1(-k * np.log1p(-part)) / k if abs(k) > 1e-9 else -np.log1p(-part))
    out = log_w.copy()
    out[tail] = np.log(np.minimum(cut + quantiles, 1.0)) + top
    return out, k


def _pareto(x: Array) -> tuple[float, float]:
    """Shape k, drawn weakly to .5, and scale of a generalised Pareto for ascending x (n,) (Zhang and Stephens 2009)."""
    n = len(x)
    grid = np.arange(1, 31 + int(np.sqrt(n)))
    b = 1 / x[-1] + (1 - np.sqrt(len(grid) / (grid - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1])
    shape = np.log1p(-b[:, None] * x).mean(1)
    profile = n * (np.log(-b / shape) - shape - 1)
    weight = np.exp(profile - logsumexp(profile))
    best = float(weight @ b)
    k = float(np.log1p(-best * x).mean())
    return (n * k + 5) / (n + 10), -k / best


def _cut(log_w: Array) -> Array:
    """Normalised weights, the few largest cut so that no draw carries the rest (truncated importance, Ionides 2008)."""
    weight = np.exp(log_w - log_w.max())
    weight = np.minimum(weight, weight.mean() * np.sqrt(len(weight)))
    return np.asarray(weight / weight.sum())


def _student(centre: Array, root: Array, count: int, rng: np.random.Generator) -> Array:
    normal = rng.standard_normal((count, len(centre))) @ root.T
    return np.asarray(centre + normal * np.sqrt(PROPOSAL_DOF / rng.chisquare(PROPOSAL_DOF, size=(count, 1))))


def _student_density(z: Array, centre: Array, root: Array) -> Array:
    squares = (np.linalg.solve(root, (z - centre).T) ** 2).sum(0)
    p = len(centre)
    constant = gammaln((PROPOSAL_DOF + p) / 2) - gammaln(PROPOSAL_DOF / 2) - p / 2 * np.log(PROPOSAL_DOF * np.pi)
    return np.asarray(
        constant - np.log(np.diagonal(root)).sum() - (PROPOSAL_DOF + p) / 2 * np.log1p(squares / PROPOSAL_DOF)
    )


def _start(form: Form, data: Evidence) -> tuple[Array, Array]:
    """Centre and root of the first draws: least squares on the points' medians, from several starts, made wide."""
    mean, sd = np.array(form.prior).T
    weight = 1 / np.hypot(data.spread, SCATTER_SCALE)

    def misfit(theta: Array) -> Array:
        return np.concatenate([(form.x(theta[None], data.at)[0] - data.middle) * weight, (theta - mean) / sd])

    def slope(theta: Array) -> Array:
        return np.concatenate([form.gradient(theta[None], data.at)[0] * weight[:, None], np.diag(1 / sd)])

    first = mean.copy()
    first[0] = data.middle.mean() - (form.x(mean[None], data.at)[0] - mean[0]).mean()
    if isinstance(form, Linear):  # one step of least squares reaches the best
        jacobian = slope(first)
        best = first - np.linalg.lstsq(jacobian, misfit(first))[0]
    else:
        rng = np.random.default_rng(0)
        starts = [first, *(first + rng.standard_normal((STARTS - 1, len(mean))) * np.minimum(sd, 1.0))]
        fit = min((least_squares(misfit, start, jac=slope) for start in starts), key=lambda fit: fit.cost)
        best, jacobian = fit.x, fit.jac
    covariance = np.linalg.inv(jacobian.T @ jacobian)
    p = len(mean)
    wide = np.zeros((p + 1, p + 1))
    wide[:p, :p], wide[p, p] = 2.0 * covariance, 1.0
    return np.append(best, np.log(SCATTER_SCALE)), np.asarray(np.linalg.cholesky(wide))
