"""What a dose costs: the rise of validation loss over dose 0.

A dose displaces general text, and loss falls as a power of the general tokens, D (1 - r). So, u being a place's own,

    rise(N, D, r) = C ((1 - r)^-b - 1)        C = C0 (N / N0)^p (D / D0)^q exp(u),  u ~ N(0, OWN^2)

which is the share term of the D-CPT law (2406.01375; `surfaces.forms.MIXTURE`) for general text, less its value at
dose 0. Where only exposures k are known, rise = C k^b. Fitted to every run of the places (N, D) that have dose 0, their
own loss at dose 0 being a parameter too, so that its error is not taken for a rise. Robust (soft l1): one bad run
counts for little. Published exponents of loss lie between -0.4 and 0, so p and q have priors N(0, 0.3): where only one
size or token count was tried its exponent keeps that prior, and the rise at ten times as many is known to a factor of
2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from infusionlaw.law.covariates import geometric_mean
from infusionlaw.law.dose import Array, displaced, x_of
from infusionlaw.law.scores.zero_dose import measured_loss
from infusionlaw.runs.record import DoseUnit, RunRecord

# Parameters: log C0, p, q, log b.
PRIOR_MEAN: dict[DoseUnit, tuple[float, float, float, float]] = {
    "share": (-1.0, 0.0, 0.0, -1.0),
    "exposures": (-5.0, 0.0, 0.0, -0.5),
    "facts": (-5.0, 0.0, 0.0, -0.5),
}
PRIOR_SD = (5.0, 0.3, 0.3, 1.0)
OWN, LOSS_ERROR, RELATIVE_ERROR, PRIOR_DOF = 0.1, 0.01, 0.05, 4.0
LEAST_DOSES, COST_DRAWS, LARGEST_LOG_RISE = 3, 1000, 50.0


@dataclass(frozen=True)
class Cost:
    """The law of the rise of validation loss: theta = (log C0, p, q, log b) with its covariance. Rises: bits per
    byte."""

    unit: DoseUnit
    size0: float
    tokens0: float
    theta: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]

    def rise(self, size: float, tokens: float, x: ArrayLike) -> Array:
        """Draws of the rise (COST_DRAWS, n) at the doses x (n,) of one size and token count; their mean is the expected
        rise."""
        log_c, power = self._draws(size, tokens)
        log_x = displaced(np.atleast_1d(np.asarray(x, dtype=float)), self.unit)
        return _rise(log_c[:, None], power[:, None], log_x, self.unit)

    def dose_of(self, rise: float, size: float, tokens: float) -> Array:
        """Draws of x (COST_DRAWS,) at which validation loss has risen by `rise` at one size and token count."""
        log_c, power = self._draws(size, tokens)
        if self.unit == "exposures":
            return np.asarray((np.log(rise) - log_c) / power / np.log(10))
        log_general = np.logaddexp(0, np.log(rise) - log_c) / power
        return np.asarray((log_general + np.log(-np.expm1(-log_general))) / np.log(10))

    def allowed(self, rise: float, size: float, tokens: float) -> float:
        """x at which the expected rise is `rise`, by bisection."""
        draws = self.dose_of(rise, size, tokens)
        low, high = float(draws.min()), float(draws.max())
        while high - low > 1e-4:
            middle = (low + high) / 2
            above = float(self.rise(size, tokens, middle).mean()) > rise
            low, high = (low, middle) if above else (middle, high)
        return low

    def _draws(self, size: float, tokens: float) -> tuple[Array, Array]:
        """log C and b (COST_DRAWS,) at one size and token count."""
        theta, own = self.theta_draws()
        row = np.array([1.0, np.log(size / self.size0), np.log(tokens / self.tokens0)])
        return theta[:, :3] @ row + own, np.exp(theta[:, 3])

    def theta_draws(self) -> tuple[Array, Array]:
        """Draws of theta (COST_DRAWS, 4), and of a place's own u (COST_DRAWS,)."""
        rng = np.random.default_rng(0)
        theta = rng.multivariate_normal(self.theta, self.covariance, COST_DRAWS, method="eigh")
        return theta, OWN * rng.standard_normal(COST_DRAWS)


def _rise(log_c: Array, power: Array, log_x: Array, unit: DoseUnit) -> Array:
    if unit == "exposures":
        return np.exp(np.minimum(log_c + power * log_x, LARGEST_LOG_RISE))
    return np.asarray(
        np.exp(np.minimum(log_c, LARGEST_LOG_RISE)) * np.expm1(np.minimum(power * log_x, LARGEST_LOG_RISE))
    )


@dataclass(frozen=True)
class _Runs:
    """n runs of J places: -log(1 - r) or log k (n,), loss, place of each; covariates of places (J, 3); dose 0 (J,)."""

    unit: DoseUnit
    log_x: Array
    loss: Array
    place: Array
    covariates: Array
    start: Array

    @property
    def sd(self) -> Array:
        """Errors of the losses: LOSS_ERROR, and RELATIVE_ERROR of the rise."""
        rise = np.maximum(self.loss - self.start[self.place], 0.0)
        return np.asarray(np.hypot(LOSS_ERROR, RELATIVE_ERROR * rise))

    def residuals(self, parameters: Array) -> Array:
        """Of the runs (n,), in their errors. parameters: theta, then u and the loss at dose 0 of each place."""
        theta, (own, zero) = parameters[:4], parameters[4:].reshape(2, -1)
        log_c = (self.covariates @ theta[:3] + own)[self.place]
        loss = zero[self.place] + _rise(log_c, np.exp(theta[3]), self.log_x, self.unit)
        return np.asarray((loss - self.loss) / self.sd)


def fit_cost(rows: Sequence[RunRecord], unit: DoseUnit) -> Cost | None:
    """The cost of a table's runs; None without a dose 0, or with fewer than LEAST_DOSES above it at places with one."""
    measured = [row for row in rows if measured_loss(row) is not None]
    at_zero = {(row.size, row.tokens) for row in measured if x_of(row, unit) == -np.inf}
    used = [row for row in measured if (row.size, row.tokens) in at_zero]
    if len({x for row in used if (x := x_of(row, unit)) > -np.inf}) < LEAST_DOSES:
        return None
    places = sorted(at_zero)
    size0, tokens0 = map(geometric_mean, zip(*places, strict=True))
    theta, covariance = _fit(_runs(used, places, unit, size0, tokens0))
    return Cost(
        unit,
        size0,
        tokens0,
        tuple(float(value) for value in np.round(theta, 6)),
        tuple(tuple(float(value) for value in row) for row in np.round(covariance, 9)),
    )


def _runs(
    rows: Sequence[RunRecord], places: Sequence[tuple[float, float]], unit: DoseUnit, size0: float, tokens0: float
) -> _Runs:
    x = np.array([x_of(row, unit) for row in rows])
    loss = np.array([float(row.val_bpb or 0.0) for row in rows])
    place = np.array([places.index((row.size, row.tokens)) for row in rows])
    covariates = np.array([[1.0, np.log(size / size0), np.log(tokens / tokens0)] for size, tokens in places])
    start = np.array([loss[(place == j) & (x == -np.inf)].mean() for j in range(len(places))])
    return _Runs(unit, displaced(x, unit), loss, place, covariates, start)


def _fit(data: _Runs) -> tuple[Array, Array]:
    """theta and its covariance: robust least squares, priors included, scaled by how large the residuals are."""
    mean, count = np.array(PRIOR_MEAN[data.unit]), len(data.start)
    sd = np.array([*PRIOR_SD, *[OWN] * count])

    def weighed(parameters: Array) -> Array:
        residual = data.residuals(parameters)
        robust = np.sign(residual) * np.sqrt(2 * (np.sqrt(1 + residual**2) - 1))
        prior = (parameters[: 4 + count] - np.concatenate([mean, np.zeros(count)])) / sd
        return np.concatenate([robust, prior])

    start = np.concatenate([mean, np.zeros(count), data.start])
    found = least_squares(weighed, start, method="trf", x_scale="jac")
    residual = weighed(found.x)[: len(data.loss)]
    free = max(len(residual) - 4 - 2 * count, 0)
    scale = (PRIOR_DOF + float((residual**2).sum())) / (PRIOR_DOF + free)
    jac = found.jac.copy()
    jac[: len(residual)] /= np.sqrt(scale)
    return found.x[:4], np.linalg.inv(jac.T @ jac)[:4, :4]
