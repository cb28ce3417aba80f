"""The three levels of a dose-response, given its shape and noise: integrated out in closed form, many shapes at once.

    score(x) = first (1 - R) + plateau R F + floor R (1 - F)

is linear in the levels. With normal priors the posterior of (first, plateau, floor) has a 3 x 3 precision, whose
Cholesky factor is written out entry by entry, so that hundreds of thousands of shapes cost a few array operations. The
noise may depend on the fall (`Noise`), so all sums over doses are matrix products of rises (A, J) with falls (C, J).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from infusionlaw.law.dose import Array

Contrast = tuple[float, float, float]
LEAST_MIDDLING = 0.1
CERTAIN = 8.3  # deviations beyond which a normal is certain to double precision
# Of a run that has collapsed or not: the least log likelihood, and how much likelier one makes the other not matter.
LEAST_RUN, NO_MATTER = float(np.log(1e-30)), 37.0
BINARY = float(np.log(2)) / 2  # the whole part of a logarithm to base 2 tells its half to this much
Mask = NDArray[np.bool_]
Indices = tuple[NDArray[np.intp], ...]


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


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def _content(self) -> tuple[object, ...]:
        arrays = (self.x, self.y, self.runs, self.known, self.squares)
        return (*(array.tobytes() for array in arrays), self.each, self.prior, self.settled, self.least)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Observed) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @cached_property
    def drop(self) -> float:
        """How far the means fall after the largest."""
        doses = np.isfinite(self.runs)
        y = self.y[doses]
        return float(y.max() - y[y.argmax() :].min())

    @cached_property
    def middling(self) -> Array:
        """How near each score is to one half (J,): variance of a share of that size beside that of one half."""
        y = np.clip(self.y, 0.0, 1.0)
        return np.asarray(LEAST_MIDDLING + (1 - LEAST_MIDDLING) * 4 * y * (1 - y))

    @cached_property
    def log_order(self) -> tuple[float, float, float]:
        """Log prior probability that the plateau lies below 1, above the first level, and above a possible floor."""
        floor = _log_positive(self.prior, -self.least[0], (0.0, 0.0, 1.0), self.least[1])
        return (
            _log_positive(self.prior, 1.0, (0.0, -1.0, 0.0)),
            _log_positive(self.prior, 0.0, (-1.0, 1.0, 0.0)),
            _log_positive(self.prior, 0.0, (0.0, 1.0, -1.0)) + floor,
        )

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
    """Levels of n shapes: factor (6, n): the Cholesky factor a; b, c; d, e, f of their precision; half (3, n): its
    solution of the right side."""

    factor: tuple[Array, ...]
    half: tuple[Array, ...]

    @cached_property
    def mean(self) -> Array:
        """Posterior means (3, n)."""
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
        chance = _positive(1 - plateau, of["plateau"], True)
        chance *= _positive(plateau - first, up, rises)
        chance *= _positive(plateau - floor, down, falls)
        chance *= _positive(floor - least[0], of["floor"] + least[1] ** 2, falls)
        return np.asarray(np.log(np.maximum(chance, 1e-12)))


def _positive(mean: Array, variance: Array, asked: Mask | bool) -> Array:
    """Probability that a normal is positive, 1 where it is not asked for (n,)."""
    z = mean / np.sqrt(variance)
    found, unsure = np.ones(len(z)), np.flatnonzero((z < CERTAIN) & asked)
    found[unsure] = ndtr(z[unsure])
    return found


def _log_positive(prior: Prior, constant: float, contrast: Contrast, slack: float = 0.0) -> float:
    """Log probability under the prior that a contrast of the levels and a constant are positive together."""
    mean = constant + float(np.dot(contrast, prior.mean))
    return float(log_ndtr(mean / np.sqrt(np.dot(np.square(contrast), np.square(prior.sd)) + slack**2)))


def bases(rise: Array, fall: Array) -> tuple[Array, Array, Array]:
    """What the three levels are multiplied by, for paired rises and falls (..., J)."""
    return 1 - rise, rise * fall, rise * (1 - fall)


@dataclass(frozen=True)
class Sums:
    """What the doses say of the levels of every rise with every fall, under each of K noises.

    precision: entries first first, first plateau, first floor, plateau plateau, plateau floor and floor floor of each
    (A, K, C), with that of the prior; right: the right side (A, K, C) of each level; square (K, C): what is left where
    all levels are 0; constant (K, C): the part of the log likelihood that no level changes.
    """

    data: Observed
    noises: Sequence[Noise]
    rise: Array
    fall: Array
    precision: tuple[Array, ...]
    right: tuple[Array, ...]
    square: Array
    constant: Array

    def take(self, at: Indices) -> Levels:
        """The levels of n of them, by the indices of their rises, noises and falls."""
        flat = np.ravel_multi_index(at, self.precision[0].shape)
        ll, lp, lf, pp, pf, ff = (part.ravel()[flat] for part in self.precision)
        first, plateau, floor = (part.ravel()[flat] for part in self.right)
        a = np.sqrt(ll)
        b, d = lp / a, lf / a
        c = np.sqrt(pp - b**2)
        e = (pf - b * d) / c
        f = np.sqrt(ff - d**2 - e**2)
        u = first / a
        v = (plateau - b * u) / c
        return Levels((a, b, c, d, e, f), (u, v, (floor - d * u - e * v) / f))

    def likely(self, log_prior: Array) -> "Likely":
        """Log likelihood and log prior (A, C) of all of them."""
        rough, det = self._without_logs()
        for k, noise in enumerate(self.noises):
            if noise.knots == 1:
                rise, fall = np.nonzero(log_prior > -np.inf)
                rough[rise, k, fall], det[:, k] = _all_or_nothing(self, (rise, np.full(len(rise), k), fall)), 1.0
        rough += log_prior[:, None]
        return Likely(rough, det)

    def _without_logs(self) -> tuple[Array, Array]:
        """Log likelihood but for half the log of the second, the determinant of the precision: (A, K, C) each."""
        ll, lp, lf, pp, pf, ff = self.precision
        first, plateau, floor = self.right
        by_plateau, by_floor = lp / ll, lf / ll
        second = pp - by_plateau * lp
        mixed = pf - by_floor * lp
        by_second = mixed / second
        third = ff - by_floor * lf
        third -= by_second * mixed
        v = plateau - by_plateau * first
        w = floor - by_floor * first
        w -= by_second * v
        explained = first * first
        explained /= ll
        v *= v
        v /= second
        explained += v
        w *= w
        w /= third
        explained += w
        det = ll * second
        det *= third
        rough = np.minimum(explained - self.square, 0.0, out=explained)
        rough /= 2
        rough += self.constant
        return rough, det


@dataclass(frozen=True)
class Likely:
    """How likely all of them (A, K, C) are: log likelihood is rough less half the log of det.

    A logarithm costs as much as all the rest, so it is taken only where it matters.
    """

    rough: Array
    det: Array

    @cached_property
    def _least(self) -> Array:
        """What the log likelihood is at least, and at most BINARY more."""
        return np.asarray(self.rough - BINARY * np.frexp(self.det)[1])

    def near(self, within: float) -> tuple[Indices, Array, Array]:
        """Those that come so near to the best of their noise: indices, log likelihood, and the least of it (K,)."""
        at, value = self._above(self._least.max((0, 2)) - within)
        peak = np.full(self.rough.shape[1], -np.inf)
        np.maximum.at(peak, at[1], value)
        inside = value >= peak[at[1]] - within
        return tuple(index[inside] for index in at), value[inside], peak - within

    def between(self, low: Array, high: Array) -> tuple[Indices, Array]:
        """Those with a log likelihood from `low` to below `high`, which are for each noise (K,)."""
        if (low >= high).all():
            return (np.empty(0, dtype=int),) * 3, np.empty(0)
        at, value = self._above(np.where(low < high, low, np.inf))
        inside = (value >= low[at[1]]) & (value < high[at[1]])
        return tuple(index[inside] for index in at), value[inside]

    def _above(self, low: Array) -> tuple[Indices, Array]:
        """All that may have a log likelihood of `low` (K,), and some others."""
        flat = np.flatnonzero(self._least >= (low - BINARY)[:, None])
        value = self.rough.ravel()[flat] - np.log(self.det.ravel()[flat]) / 2
        return np.unravel_index(flat, self.rough.shape), value


def solve(data: Observed, rise: Array, fall: Array, noises: Sequence[Noise]) -> Sums:
    """What the doses say of the levels of every rise (A, J) with every fall (C, J), under each of K noises."""
    variance = np.stack([data.variance(noise, fall) for noise in noises])
    w = data.weight(variance)
    before, gone, wy = 1 - rise, 1 - fall, w * data.y
    stay, lost, both, up = w * fall, w * gone, before * rise, rise**2
    mean, own = np.array(data.prior.mean), np.array(data.prior.sd) ** -2.0

    def over_doses(of_rise: Array, of_fall: Array, more: float = 0.0) -> Array:
        found = of_rise @ of_fall.reshape(-1, of_fall.shape[-1]).T
        found += more
        return found.reshape(len(rise), len(noises), len(fall))

    return Sums(
        data,
        noises,
        rise,
        fall,
        (
            over_doses(before**2, w, own[0]),
            over_doses(both, stay),
            over_doses(both, lost),
            over_doses(up, stay * fall, own[1]),
            over_doses(up, stay * gone),
            over_doses(up, lost * gone, own[2]),
        ),
        (
            over_doses(before, wy, own[0] * mean[0]),
            over_doses(rise, wy * fall, own[1] * mean[1]),
            over_doses(rise, wy * gone, own[2] * mean[2]),
        ),
        square=(wy * data.y).sum(-1) + float(own @ mean**2),
        constant=data.log_noise(variance) + float(np.log(own).sum()) / 2,
    )


def _all_or_nothing(sums: Sums, at: Indices) -> Array:
    """Log likelihood of n of them, all under one noise, where each run has collapsed whole or not.

    It has collapsed as often as the fall says. Given the levels that scores spread so widely are best explained by,
    each run is a mixture of two normals.
    """
    (rise, noise, fall), data, levels = at, sums.data, sums.take(at)
    level = sums.noises[noise[0]].level
    first, plateau, floor = levels.mean
    mean, precision = np.array(data.prior.mean), np.array(data.prior.sd) ** -2.0
    total = -0.5 * (precision @ (levels.mean - mean[:, None]) ** 2)
    with np.errstate(divide="ignore"):
        log_fall, log_gone = np.log(sums.fall), np.log1p(-sums.fall)
    for j, values in enumerate(data.each):
        variance = data.known[j] + (level**2 if np.isfinite(data.runs[j]) else 0.0)
        way = sums.rise[rise, j]
        start = first * (1 - way)
        upper, lower = start + way * plateau, start + way * floor
        left, lost = log_fall[fall, j], log_gone[fall, j]
        for y in values:
            high = left - (y - upper) ** 2 / (2 * variance)
            low = lost - (y - lower) ** 2 / (2 * variance)
            likelier = np.maximum(np.maximum(high, low), LEAST_RUN)
            total += likelier - np.log(variance) / 2
            both = np.flatnonzero(np.abs(high - low) < NO_MATTER)
            total[both] += np.log1p(np.exp(-np.abs(high[both] - low[both])))
    a, _, c, _, _, f = levels.factor
    return np.asarray(total + float(np.log(precision).sum()) / 2 - np.log(a * c * f))
