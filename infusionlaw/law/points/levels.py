"""The three levels of a dose-response, given its shape: a normal posterior in closed form, for all shapes at once.

    score(x) = first (1 - R) + plateau R F + floor R (1 - F)

is linear in the levels. With their normal priors the posterior of (first, plateau, floor) has a 3 x 3 precision, whose
Cholesky factor is written out entry by entry, so that hundreds of thousands of shapes cost a few array operations. All
sums over doses are matrix products of rises (A, J) with falls (C, J).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from infusionlaw.law.dose import Array

# Priors of the levels: first, plateau (mean, deviation); the floor's mean is the guessing level.
FIRST, PLATEAU, FLOOR_SD = (0.4, 0.5), (0.6, 0.5), 0.3
Contrast = tuple[float, float, float]


@dataclass(frozen=True)
class Observed:
    """Observations of one curve: ascending x (J,), -inf for dose 0; y, sd (J,); dof of the noise; guessing level."""

    x: Array
    y: Array
    sd: Array
    dof: float
    guessing: float
    retention: bool

    @property
    def priors(self) -> tuple[Array, Array]:
        """Means and precisions (3,) of the levels."""
        mean = np.array([FIRST[0], PLATEAU[0], self.guessing])
        return mean, np.array([FIRST[1], PLATEAU[1], FLOOR_SD]) ** -2


@dataclass(frozen=True)
class Levels:
    """Levels of many shapes: mean (3, ...); factor (6, ...): the Cholesky factor a; b, c; d, e, f; chi2 (...)."""

    mean: Array
    factor: Array
    chi2: Array

    def take(self, at: Any) -> "Levels":
        """Those at an index."""
        return Levels(self.mean[:, *at], self.factor[:, *at], self.chi2[at])

    @property
    def log_det(self) -> Array:
        """log determinant of the precision."""
        return np.asarray(2 * np.log(self.factor[0] * self.factor[2] * self.factor[5]))

    def log_positive(self, constant: float, contrast: Contrast) -> Array:
        """log probability that constant + contrast . levels is above 0."""
        mean = constant + np.tensordot(contrast, self.mean, 1)
        half = _forward(self.factor, *(np.full_like(mean, part) for part in contrast))
        return np.asarray(log_ndtr(mean / np.sqrt(sum(part**2 for part in half))))


def bases(rise: Array, fall: Array) -> tuple[Array, Array, Array]:
    """What the three levels are multiplied by, for paired rises and falls (..., J)."""
    return 1 - rise, rise * fall, rise * (1 - fall)


def solve(data: Observed, rise: Array, fall: Array) -> Levels:
    """The levels of every rise (A, J) with every fall (C, J): arrays (A, C)."""
    w, y, (mean, precision) = data.sd**-2, data.y, data.priors
    before, stay, gone = 1 - rise, fall.T, 1 - fall.T
    shape = (len(rise), len(fall))
    both, mixed = w * rise**2, w * before * rise
    factor = _cholesky(
        np.broadcast_to((w * before**2).sum(1)[:, None] + precision[0], shape),
        mixed @ stay,
        mixed @ gone,
        both @ stay**2 + precision[1],
        both @ (stay * gone),
        both @ gone**2 + precision[2],
    )
    prior = precision * mean
    right = (np.broadcast_to((before @ (w * y))[:, None], shape), (w * y * rise) @ stay, (w * y * rise) @ gone)
    half = _forward(factor, *(part + prior[i] for i, part in enumerate(right)))
    total = float((w * y**2).sum() + (prior * mean).sum())
    return Levels(_backward(factor, half), factor, np.maximum(total - sum(part**2 for part in half), 0.0))


def _cholesky(ll: Array, lp: Array, lf: Array, pp: Array, pf: Array, ff: Array) -> Array:
    a = np.sqrt(ll)
    b, d = lp / a, lf / a
    c = np.sqrt(pp - b**2)
    e = (pf - b * d) / c
    return np.stack([a, b, c, d, e, np.sqrt(ff - d**2 - e**2)])


def _forward(factor: Array, first: Array, plateau: Array, floor: Array) -> tuple[Array, Array, Array]:
    a, b, c, d, e, f = factor
    u = first / a
    v = (plateau - b * u) / c
    return u, v, (floor - d * u - e * v) / f


def _backward(factor: Array, half: tuple[Array, Array, Array]) -> Array:
    a, b, c, d, e, f = factor
    floor = half[2] / f
    plateau = (half[1] - e * floor) / c
    return np.stack([(half[0] - b * plateau - d * floor) / a, plateau, floor])
