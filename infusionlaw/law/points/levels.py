"""The three levels of a dose-response, given its shape and noise: integrated out in closed form, many shapes at once.

    score(x) = first (1 - R) + plateau R F + floor R (1 - F)

is linear in the levels. With normal priors the posterior of (first, plateau, floor) has a 3 x 3 precision, whose
Cholesky factor is written out entry by entry, so that hundreds of thousands of shapes cost a few array operations. The
noise may depend on the fall (`Noise`), so all sums over doses are matrix products of rises (A, J) with falls (C, J).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from infusionlaw.law.dose import Array

Contrast = tuple[float, float, float]
LEAST_MIDDLING = 0.1
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Prior:
    """Normal priors of the three levels: means and deviations (first, plateau, floor)."""

    mean: Contrast
    sd: Contrast


@dataclass(frozen=True)
class Noise:
    """What scores vary by between seeds. level: deviation of one run's score; knots: how far apart the runs of one dose
    lie on the fall, from 0 (all alike) to 1 (each run has collapsed whole, or not at all); steady: whether the level is
    the same at every score, or that of a score of one half, and less towards 0 and 1."""

    level: float
    knots: float
    steady: bool = True


@dataclass(frozen=True)
class Observed:
    """Observations of one curve: ascending x (J,), -inf for dose 0; y (J,).

    runs (J,): runs a dose, inf for a level that is known otherwise; known (J,): variance of one run's score over
    questions; squares (J,): of the runs of a dose about their mean; each: their scores; prior: of the levels;
    settled: whether it is on its plateau from dose 0 on; least: what guessing gives and its deviation, since no fall
    goes below that; 0 where nobody stated it.
    """

    x: Array
    y: Array
    runs: Array
    known: Array
    squares: Array
    each: tuple[tuple[float, ...], ...]
    prior: Prior
    settled: bool
    least: tuple[float, float]

    @property
    def drop(self) -> float:
        """How far the means fall after the largest."""
        doses = np.isfinite(self.runs)
        y = self.y[doses]
        return float(y.max() - y[y.argmax() :].min())

    @property
    def middling(self) -> Array:
        """How near each score is to one half (J,): variance of a share of that size beside that of one half."""
        y = np.clip(self.y, 0.0, 1.0)
        return np.asarray(LEAST_MIDDLING + (1 - LEAST_MIDDLING) * 4 * y * (1 - y))

    def having(self, prior: Prior) -> "Observed":
        """The same with another prior of the levels."""
        return replace(self, prior=prior)

    def variance(self, noise: Noise, fall: Array) -> Array:
        """Variance (..., J) of one run's score at falls (..., J)."""
        jumps = (noise.knots * self.drop) ** 2 * fall * (1 - fall)
        level = noise.level**2 * (1.0 if noise.steady else self.middling)
        return np.asarray(self.known + np.where(np.isfinite(self.runs), level + jumps, 0.0))

    def log_noise(self, variance: Array) -> Array:
        """Log density of what seeds differ by, and the normaliser of the means, given variances (..., J) of one run."""
        several = np.where(np.isfinite(self.runs), self.runs, 1.0)
        return np.asarray(-(several * np.log(variance) + self.squares / variance).sum(-1) / 2)

    def weight(self, variance: Array) -> Array:
        """Precision (..., J) of the means."""
        return np.asarray(np.where(np.isfinite(self.runs), self.runs, 1.0) / variance)


@dataclass(frozen=True)
class Levels:
    """Levels of many shapes: factor (6, ...): the Cholesky factor a; b, c; d, e, f of their precision; half (3, ...):
    its solution of the right side; fit (...): log marginal likelihood."""

    factor: tuple[Array, ...]
    half: tuple[Array, ...]
    fit: Array

    def take(self, at: Any) -> "Levels":
        """Those at an index."""
        return Levels(tuple(part[at] for part in self.factor), tuple(part[at] for part in self.half), self.fit[at])

    @cached_property
    def mean(self) -> Array:
        """Posterior means (3, ...)."""
        a, b, c, d, e, f = self.factor
        floor = self.half[2] / f
        plateau = (self.half[1] - e * floor) / c
        return np.stack([(self.half[0] - b * plateau - d * floor) / a, plateau, floor])

    @cached_property
    def covariance(self) -> dict[str, Array]:
        """Posterior variances of first, plateau and floor, and the covariances that the order of levels needs."""
        a, b, c, d, e, f = self.factor
        second, third = -b / (a * c), (b * e - c * d) / (a * c * f)
        middle, last = -e / (c * f), 1 / f
        return {
            "first": 1 / a**2 + second**2 + third**2,
            "plateau": 1 / c**2 + middle**2,
            "floor": last**2,
            "first, plateau": second / c + third * middle,
            "plateau, floor": middle * last,
        }

    def log_order(self, rises: Mask, falls: Mask, least: tuple[float, float]) -> Array:
        """Log probability that the plateau lies below 1 and, where a curve rises or falls, above first and floor.

        least: the level below which no fall goes, and its deviation.
        """
        first, plateau, floor = self.mean
        of = self.covariance
        up = of["plateau"] + of["first"] - 2 * of["first, plateau"]
        down = of["plateau"] + of["floor"] - 2 * of["plateau, floor"]
        chance = ndtr((1 - plateau) / np.sqrt(of["plateau"]))
        chance = chance * np.where(rises, ndtr((plateau - first) / np.sqrt(up)), 1.0)
        chance = chance * np.where(falls, ndtr((plateau - floor) / np.sqrt(down)), 1.0)
        chance = chance * np.where(falls, ndtr((floor - least[0]) / np.sqrt(of["floor"] + least[1] ** 2)), 1.0)
        return np.asarray(np.log(np.maximum(chance, 1e-12)))


def log_prior_positive(prior: Prior, constant: float, contrast: Contrast, slack: float = 0.0) -> float:
    """The same under the prior."""
    mean = constant + float(np.dot(contrast, prior.mean))
    return float(log_ndtr(mean / np.sqrt(np.dot(np.square(contrast), np.square(prior.sd)) + slack**2)))


def bases(rise: Array, fall: Array) -> tuple[Array, Array, Array]:
    """What the three levels are multiplied by, for paired rises and falls (..., J)."""
    return 1 - rise, rise * fall, rise * (1 - fall)


def solve(data: Observed, rise: Array, fall: Array, noise: Noise) -> Levels:
    """The levels of every rise (A, J) with every fall (C, J): arrays (A, C)."""
    variance = data.variance(noise, fall)
    w = data.weight(variance)
    before, gone, wy = 1 - rise, 1 - fall, w * data.y
    stay, lost = w * fall, w * gone
    sums = (
        before**2 @ w.T,
        (before * rise) @ stay.T,
        (before * rise) @ lost.T,
        rise**2 @ (stay * fall).T,
        rise**2 @ (stay * gone).T,
        rise**2 @ (lost * gone).T,
    )
    right = (before @ wy.T, rise @ (wy * fall).T, rise @ (wy * gone).T)
    found = _solved(data, sums, right, (wy * data.y).sum(-1), data.log_noise(variance))
    return _all_or_nothing(data, found, rise, fall, noise) if noise.knots == 1 else found


def _all_or_nothing(data: Observed, found: Levels, rise: Array, fall: Array, noise: Noise) -> Levels:
    """The levels with the likelihood of runs each of which has collapsed whole (as often as the fall says) or not.

    Given the levels that scores spread so widely are best explained by, each run is a mixture of two normals.
    """
    first, plateau, floor = found.mean
    mean, precision = np.array(data.prior.mean), np.array(data.prior.sd) ** -2.0
    total = -0.5 * np.tensordot(precision, (found.mean - mean[:, None, None]) ** 2, 1)
    for j, values in enumerate(data.each):
        variance = data.known[j] + (noise.level**2 if np.isfinite(data.runs[j]) else 0.0)
        start, way, left = (first * (1 - rise[:, j, None])), rise[:, j, None], fall[:, j]
        upper, lower = start + way * plateau, start + way * floor
        for y in values:
            high, low = (np.exp(-((y - level) ** 2) / (2 * variance)) for level in (upper, lower))
            total += np.log(left * high + (1 - left) * low + 1e-30) - np.log(variance) / 2
    a, _, c, _, _, f = found.factor
    fit = total + float(np.log(precision).sum()) / 2 - np.log(a * c * f)
    return Levels(found.factor, found.half, fit)


def _solved(
    data: Observed, sums: tuple[Array, ...], right: tuple[Array, ...], total: Array, log_noise: Array
) -> Levels:
    ll, lp, lf, pp, pf, ff = sums
    mean, precision = np.array(data.prior.mean), np.array(data.prior.sd) ** -2.0
    prior = precision * mean
    a = np.sqrt(ll + precision[0])
    b, d = lp / a, lf / a
    c = np.sqrt(pp + precision[1] - b**2)
    e = (pf - b * d) / c
    f = np.sqrt(ff + precision[2] - d**2 - e**2)
    factor = (a, b, c, d, e, f)
    half = _forward(factor, *(part + prior[i] for i, part in enumerate(right)))
    chi2 = total + float((prior * mean).sum()) - half[0] ** 2 - half[1] ** 2 - half[2] ** 2
    fit = log_noise + float(np.log(precision).sum()) / 2 - np.maximum(chi2, 0.0) / 2 - np.log(a * c * f)
    return Levels(factor, half, fit)


def _forward(factor: tuple[Array, ...], first: Any, plateau: Any, floor: Any) -> tuple[Array, Array, Array]:
    a, b, c, d, e, f = factor
    u = first / a
    v = (plateau - b * u) / c
    return u, v, (floor - d * u - e * v) / f
