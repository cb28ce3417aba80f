"""Which shapes a curve supports: the marginal likelihood of every rise with every fall, and where that puts its points.

The levels of a shape are integrated out (`levels`), and so is the common factor by which the noise may be larger than
estimated (Student's t with the curve's degrees of freedom). A plateau below the level before or after it is no plateau,
and none lies above 1: the probability of the right order is a factor.

    log L = -(nu + J)/2 log(1 + chi2/nu) - log det / 2 + log P(order)

Nothing is searched for, so nothing gets stuck, and the likelihood shows all places that fit, not one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array
from infusionlaw.law.levels import Levels, Observed, solve
from infusionlaw.law.likelihood import STEP, Likelihood, aligned, scaled
from infusionlaw.law.shapes import COARSE, FINE, FORMS, NEVER, Detector, Edges, falls, rises

# Shapes whose log likelihood is this much below the best are not looked at further.
HOPELESS = 25.0


@dataclass(frozen=True)
class Fitted:
    """Every rise (A) with every fall (C), allowed where the rise ends before the fall.

    log_likelihood (A, C): -inf where not allowed or hopeless; levels: (A, C).
    """

    rises: Edges
    falls: Edges
    allowed: NDArray[np.bool_]
    log_likelihood: Array
    levels: Levels


def fitted(data: Observed, rise: Edges, fall: Edges) -> Fitted:
    """Levels and marginal likelihood of every pair of a rise and a fall."""
    levels = solve(data, rise.height, fall.height)
    end = np.where(np.isfinite(rise.knot), rise.knot + np.nan_to_num(rise.width), -np.inf)
    allowed = np.asarray(end[:, None] <= fall.knot)
    misfit = -(data.dof + len(data.y)) / 2 * np.log1p(levels.chi2 / data.dof)
    log_l = np.where(allowed, misfit, -np.inf)
    at = np.nonzero(log_l >= log_l.max() - HOPELESS)
    log_l[at] = log_l[at] + _log_chance(rise.knot[at[0]], fall.knot[at[1]], levels.take(at))
    log_l[log_l < log_l.max() - HOPELESS] = -np.inf
    return Fitted(rise, fall, allowed, log_l, levels)


def _log_chance(rise: Array, fall: Array, levels: Levels) -> Array:
    """What integrating the levels out adds to the log likelihood of n pairs, their right order included: (n,)."""
    above_first = np.where(rise < NEVER, levels.log_positive(0.0, (-1.0, 1.0, 0.0)), np.log(0.5))
    above_floor = np.where(fall < NEVER, levels.log_positive(0.0, (0.0, 1.0, -1.0)), np.log(0.5))
    return np.asarray(above_first + above_floor + levels.log_positive(1.0, (0.0, -1.0, 0.0)) - levels.log_det / 2)


@dataclass(frozen=True)
class Level:
    """A mean and a standard deviation."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Response:
    """What the height and the widths of a curve are, over all shapes that fit: plateau, floor; log10 of the widths."""

    plateau: Level
    floor: Level
    rise: Level
    fall: Level


def locate(data: Observed, detector: Detector, which: str) -> Likelihood:
    """The likelihood of the acquisition (`which` = "rise") or of the collapse ("fall") of a curve."""
    fine_rise = which == "rise"
    parts, peak = [], -np.inf
    for form in FORMS[detector]:
        rise = rises(data.x, form, FINE if fine_rise else COARSE, data.retention)
        fall = falls(data.x, form, COARSE if fine_rise else FINE)
        fit = fitted(data, rise, fall)
        parts.append(fit)
        peak = max(peak, float(fit.log_likelihood.max()))
    curves = [_along(fit, peak, fine_rise) for fit in parts]
    knot, value = curves[0][0], np.mean([value for _, value in curves], axis=0)
    return _binned(data, knot, value)


def _along(fit: Fitted, peak: float, rise: bool) -> tuple[Array, Array]:
    """Mean likelihood of each rise (or fall) over its partners; knots and values, one for each width."""
    chance = np.exp(fit.log_likelihood - peak)
    if rise:
        weight = fit.allowed * fit.falls.weight
        return fit.rises.knot, (chance * weight).sum(1) / np.maximum(weight.sum(1), 1e-300)
    weight = (fit.allowed * fit.rises.weight[:, None])[:-1]  # the last rise is none at all: it says nothing of a fall
    return fit.falls.knot, (chance[:-1] * weight).sum(0) / np.maximum(weight.sum(0), 1e-300)


def _binned(data: Observed, knot: Array, value: Array) -> Likelihood:
    """Values by knot as a likelihood over the doses tried; all knots below the smallest are one, and all beyond."""
    doses = data.x[np.isfinite(data.x)]
    start, count = aligned(doses[0], doses[-1])
    places = np.unique(knot[np.isfinite(knot)])
    means = np.array([value[knot == place].mean() for place in places])
    index = np.floor((places - start) / STEP).astype(int)
    below = float(means[index < 0].mean())
    inside = np.full(count, np.nan)
    inside[index[index >= 0]] = means[index >= 0]
    return scaled(start, inside, below, float(value[knot == NEVER].mean()))


def response(data: Observed, detector: Detector) -> Response:
    """Posterior means and deviations of the plateau, the floor and the widths."""
    fits = [
        fitted(data, rises(data.x, form, COARSE, data.retention), falls(data.x, form, COARSE))
        for form in FORMS[detector]
    ]
    peak = max(float(fit.log_likelihood.max()) for fit in fits)
    weight = np.stack([np.exp(f.log_likelihood - peak) * f.rises.weight[:, None] * f.falls.weight for f in fits])
    shape = weight.shape[1:]
    rise = np.broadcast_to(np.log10(fits[0].rises.width)[:, None], shape)
    fall = np.broadcast_to(np.log10(fits[0].falls.width), shape)
    levels = np.stack([fit.levels.mean for fit in fits])
    return Response(
        _level(levels[:, 1], weight), _level(levels[:, 2], weight), _level(rise, weight), _level(fall, weight)
    )


def _level(value: Array, weight: Array) -> Level:
    """Weighted mean and deviation over shapes that have the value."""
    value = np.broadcast_to(value, weight.shape)
    weight = np.where(np.isfinite(value), weight, 0.0)
    mean = float(np.nansum(value * weight) / weight.sum())
    return Level(mean, float(np.sqrt(np.nansum((value - mean) ** 2 * weight) / weight.sum())))
