"""How high a dose-response is and how wide its slopes are, carried to another size and token count.

Plateau and floor of recall, or of retention, are levels, so they are carried in logits of
(level - guessing) / (1 - guessing):

    logit plateau = alpha + beta log10(N / N0) + gamma log10(D / D0) + tau * noise

with normal priors (slopes N(0, 2), for a plateau that rises from .1 to .9 over a decade and a half), so the posterior
is normal too and kept as mean and covariance. The widths of rise and fall are taken as the same everywhere: their mean
and deviation over curves. Together with where the points lie this gives the recall that is to be expected at a dose.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from infusionlaw.law.covariates import geometric_mean, log_rows
from infusionlaw.law.dose import Array
from infusionlaw.law.points.detect import Level
from infusionlaw.law.points.point import Kind, Point

PLATEAU_SLOPE_SD, PLATEAU_SD, TAU = 2.0, 5.0, 0.3
LOWEST_PLATEAU, HIGHEST_PLATEAU = 0.005, 0.995
NEAR_STEP = 0.001


@dataclass(frozen=True)
class Plateaus:
    """Normal posterior of a plateau's (intercept, size, tokens); levels and widths common to all curves."""

    size0: float
    tokens0: float
    mean: tuple[float, float, float]
    covariance: tuple[tuple[float, float, float], ...]
    guessing: float
    floor: Level
    rise: Level
    fall: Level

    def plateau(self, size: float, tokens: float, draws: int, rng: np.random.Generator) -> Array:
        """Draws of the plateau (draws,) at one size and token count."""
        row = log_rows(size, tokens, self.size0, self.tokens0)
        centre, sd = row @ np.array(self.mean), np.sqrt(row @ np.array(self.covariance) @ row + TAU**2)
        return np.asarray(self.guessing + (1 - self.guessing) * expit(centre + sd * rng.standard_normal(draws)))


def fit_plateaus(points: Sequence[Point], guessing: float, kind: Kind) -> Plateaus | None:
    """Fit plateaus to the points of a kind that have a response; None when there are none."""
    used = [(p, p.response) for p in points if p.kind == kind and p.response is not None]
    if not used:
        return None
    size, tokens = np.array([p.size for p, _ in used]), np.array([p.tokens for p, _ in used])
    size0, tokens0 = geometric_mean(size), geometric_mean(tokens)
    design = log_rows(size, tokens, size0, tokens0)
    level = np.clip(
        (np.array([r.plateau.mean for _, r in used]) - guessing) / (1 - guessing), LOWEST_PLATEAU, HIGHEST_PLATEAU
    )
    error = np.array([r.plateau.sd for _, r in used]) / ((1 - guessing) * level * (1 - level))
    weight = 1 / (np.minimum(error, 5.0) ** 2 + TAU**2)
    precision = (design.T * weight) @ design + np.diag(
        np.array([PLATEAU_SD, PLATEAU_SLOPE_SD, PLATEAU_SLOPE_SD]) ** -2.0
    )
    covariance = np.linalg.inv(precision)
    mean = covariance @ (design.T * weight) @ logit(level)
    floor, rise, fall = (_common([getattr(r, name) for _, r in used]) for name in ("floor", "rise", "fall"))
    rows = tuple(tuple(float(v) for v in row) for row in np.round(covariance, 6))
    return Plateaus(size0, tokens0, _triple(mean), rows, round(guessing, 6), floor, rise, fall)  # type: ignore[arg-type]


def _triple(values: Array) -> tuple[float, float, float]:
    a, b, c = (round(float(value), 6) for value in values)
    return a, b, c


def _common(levels: Sequence[Level]) -> Level:
    """The mean over curves, weighted by how well each is known, and the deviation of one curve's own from it."""
    mean, sd = np.array([level.mean for level in levels]), np.array([level.sd for level in levels])
    weight = 1 / (sd**2 + 0.05**2)
    centre = float((weight * mean).sum() / weight.sum())
    return Level(round(centre, 6), round(float(np.sqrt(np.mean(sd**2 + (mean - centre) ** 2))), 6))


def widths(level: Level | None, seed: int, count: int) -> Array:
    """Draws (count,) of a width in dex from its log10; next to a step where none is known."""
    if level is None:
        return np.full(count, NEAR_STEP)
    return np.asarray(10.0 ** (level.mean + level.sd * np.random.default_rng(seed).standard_normal(count)))
