"""Which shapes a curve supports: the marginal likelihood of every rise with every fall, and where that puts its points.

The levels of a shape are integrated out (`levels`), and so is the common factor by which the noise may be larger than
estimated (Student's t with the curve's degrees of freedom). A plateau below the level before or after it is no plateau,
and none lies above 1: the probability of the right order is a factor.

    log L = -(nu + J)/2 log(1 + chi2/nu) - log det / 2 + log P(order)

Nothing is searched for, so nothing gets stuck, and the likelihood shows all places that fit, not one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import STEP, Likelihood, aligned, scaled
from infusionlaw.law.points.levels import Levels, Observed, solve
from infusionlaw.law.points.shapes import COARSE, FINE, FORMS, NEVER, Detector, Edges, falls, rises

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


def locate(data: Observed, detector: Detector, which: Literal["rise", "half", "fall"]) -> Likelihood:
    """The likelihood of where a curve begins to rise, is half way up, or begins to fall."""
    fine_rise = which != "fall"
    parts, peak = [], -np.inf
    for form in FORMS[detector]:
        rise = rises(data.x, form, FINE if fine_rise else COARSE, data.retention)
        fall = falls(data.x, form, COARSE if fine_rise else FINE)
        fit = fitted(data, rise, fall)
        parts.append(fit)
        peak = max(peak, float(fit.log_likelihood.max()))
    curves = [_along(fit, peak, fine_rise) for fit in parts]
    edges = parts[0].rises if fine_rise else parts[0].falls
    place = edges.knot + np.nan_to_num(edges.width) / 2 if which == "half" else edges.knot
    return _binned(data, place, np.mean(curves, axis=0))


def _along(fit: Fitted, peak: float, rise: bool) -> Array:
    """Mean likelihood of each rise (or fall) over its partners: one value for each knot and width."""
    chance = np.exp(fit.log_likelihood - peak)
    if rise:
        weight = fit.allowed * fit.falls.weight
        return np.asarray((chance * weight).sum(1) / np.maximum(weight.sum(1), 1e-300))
    weight = (fit.allowed * fit.rises.weight[:, None])[:-1]  # the last rise is none at all: it says nothing of a fall
    return np.asarray((chance[:-1] * weight).sum(0) / np.maximum(weight.sum(0), 1e-300))


def _binned(data: Observed, place: Array, value: Array) -> Likelihood:
    """Values by place as a likelihood over the doses tried; all places below the smallest are one, and all beyond."""
    doses = data.x[np.isfinite(data.x)]
    start, count = aligned(doses[0], doses[-1])
    bins = np.clip(np.floor((np.clip(place, -1e6, 1e6) - start) / STEP + 1e-9), -1, count).astype(int)
    means = np.array([value[bins == k].mean() for k in range(-1, count + 1)])
    return scaled(start, means[1:-1], float(means[0]), float(means[-1]))


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
