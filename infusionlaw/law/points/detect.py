"""Which shapes a curve supports: the marginal likelihood of every rise with every fall, and where that puts its points.

The levels of a shape are integrated out (`levels`), and so is the common factor by which the noise may be larger than
estimated (Student's t with the curve's degrees of freedom). A plateau below the level before or after it is no plateau,
and none lies above 1: the probability of the right order is a factor.

    log L = -(nu + J)/2 log(1 + chi2/nu) - log det / 2 + log P(order)

Nothing is searched for, so nothing gets stuck, and the likelihood shows all places that fit, not one.
"""

from collections.abc import Sequence
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
# Of the partners of what is looked for, those this near to the best are tried; the others add e^-PARTNER at most.
PARTNER = 12.0
# A dose is on the plateau where rise and fall have come this far, and gone no further.
REACHED = 0.95
# A fall shows by two doses on the plateau before it and one beyond.
PLATEAU = 3


@dataclass(frozen=True)
class Fitted:
    """Every rise (A) with every fall (C), allowed where the rise ends before the fall.

    log_likelihood (A, C): -inf where not allowed or hopeless; levels: (A, C).
    """

    rises: Edges
    falls: Edges
    log_likelihood: Array
    levels: Levels

    @property
    def peak(self) -> float:
        """The largest log likelihood."""
        return float(self.log_likelihood.max())

    @property
    def on_plateau(self) -> int:
        """How many doses the best shape has on its plateau, between its rise and its fall."""
        i, j = np.unravel_index(self.log_likelihood.argmax(), self.log_likelihood.shape)
        return int(((self.rises.height[i] > REACHED) & (self.falls.height[j] > REACHED)).sum())


def rises_to_the_end(fits: Sequence[Fitted]) -> bool:
    """Whether the best shape without a fall has too few doses on its plateau (PLATEAU) for a fall to show after it."""
    best = max(fits, key=lambda fit: float(fit.log_likelihood[:, -1].max()))  # the last fall is none at all
    rise = best.rises.height[best.log_likelihood[:, -1].argmax()]
    return bool((rise > 0).any() and (rise > REACHED).sum() < PLATEAU)


def fitted(data: Observed, rise: Edges, fall: Edges) -> Fitted:
    """Levels and marginal likelihood of every pair of a rise and a fall."""
    levels = solve(data, rise.height, fall.height)
    misfit = -(data.dof + len(data.y)) / 2 * np.log1p(levels.chi2 / data.dof)
    log_l = np.where(allowed(rise, fall), misfit, -np.inf)
    at = np.nonzero(log_l >= log_l.max() - HOPELESS)
    log_l[at] = log_l[at] + _log_chance(rise.knot[at[0]], fall.knot[at[1]], levels.take(at))
    log_l[log_l < log_l.max() - HOPELESS] = -np.inf
    return Fitted(rise, fall, log_l, levels)


def allowed(rise: Edges, fall: Edges) -> NDArray[np.bool_]:
    """Which rises end before which falls begin: (A, C)."""
    end = np.where(np.isfinite(rise.knot), rise.knot + np.nan_to_num(rise.width), -np.inf)
    return np.asarray(end[:, None] <= fall.knot)


def sketch(data: Observed, detector: Detector) -> list[Fitted]:
    """Every coarse rise with every coarse fall, for each of a detector's forms."""
    return [
        fitted(data, rises(data.x, form, COARSE, data.retention), falls(data.x, form, COARSE))
        for form in FORMS[detector]
    ]


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


def locate(
    data: Observed, detector: Detector, which: Literal["rise", "half", "fall"], rough: Sequence[Fitted]
) -> Likelihood:
    """The likelihood of where a curve begins to rise, is half way up, or begins to fall.

    What is looked for is tried on the fine lattice, with those partners of the `sketch` that came near its best.
    """
    fall = which == "fall"
    parts = []
    for form, fit in zip(FORMS[detector], rough, strict=True):
        # The last rise is none at all: it says nothing of a fall.
        each = fit.log_likelihood[:-1].max(1) if fall else fit.log_likelihood.max(0)
        near = np.flatnonzero(each >= each.max() - PARTNER)
        if fall:
            parts.append(fitted(data, fit.rises.take(near), falls(data.x, form, FINE)))
        else:
            parts.append(fitted(data, rises(data.x, form, FINE, data.retention), fit.falls.take(near)))
    peak = max(fit.peak for fit in parts)
    along = _over_rises if fall else _over_falls
    value = np.mean([along(fit, full, peak) for fit, full in zip(parts, rough, strict=True)], axis=0)
    edges = parts[0].falls if fall else parts[0].rises
    place = edges.knot + np.nan_to_num(edges.width) / 2 if which == "half" else edges.knot
    return _binned(data, place, value)


def _over_falls(fit: Fitted, rough: Fitted, peak: float) -> Array:
    """Mean likelihood of each rise over all falls that are allowed with it: one value for each knot and width."""
    total = np.exp(fit.log_likelihood - peak) @ fit.falls.weight
    return np.asarray(total / np.maximum(allowed(fit.rises, rough.falls) @ rough.falls.weight, 1e-300))


def _over_rises(fit: Fitted, rough: Fitted, peak: float) -> Array:
    """Mean likelihood of each fall over all rises that are allowed with it: one value for each knot and width."""
    total = fit.rises.weight @ np.exp(fit.log_likelihood - peak)
    room = rough.rises.weight[:-1] @ allowed(rough.rises, fit.falls)[:-1]
    return np.asarray(total / np.maximum(room, 1e-300))


def _binned(data: Observed, place: Array, value: Array) -> Likelihood:
    """The likelihood of each place, its width the one that fits best; below the smallest dose, and beyond, the mean.

    A mean over widths would let a place win because many widths are as good there, which says nothing of the place.
    """
    doses, there = data.x[np.isfinite(data.x)], np.isfinite(place)
    start, count = aligned(doses[0], doses[-1])
    bins = np.floor((place[there] - start) / STEP + 1e-9).astype(int)
    best = np.full(max(int(bins.max()) + 1, count) - bins.min(), -1.0)
    np.maximum.at(best, bins - bins.min(), value[there])
    below, inside, beyond = np.split(best, [-bins.min(), count - bins.min()])
    above = _mean(beyond) if len(beyond) else float(value[place == NEVER].mean())
    return scaled(start, inside, _mean(below), above)


def _mean(best: Array) -> float:
    """The mean over places that some shape has."""
    return float(best[best >= 0].mean())


def response(fits: Sequence[Fitted]) -> Response:
    """Posterior means and deviations of the plateau, the floor and the widths, over all shapes of a sketch."""
    peak = max(fit.peak for fit in fits)
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
