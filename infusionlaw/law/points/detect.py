"""The posterior of a curve's shape: how well every rise with every fall explains it, and where that puts its points.

The levels of a shape are integrated out (`levels`). A plateau below the level before or after it is no plateau, and
none lies above 1, so the probability of the right order is a factor. What the curves of a table share, their noise and
how likely each form and width is, is learned from all of them (`pooling`), and averaged over where it is uncertain.

Nothing is searched for, so nothing gets stuck, and the likelihood shows all places that fit, not one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import REACH, STEP, Assumed, Likelihood, aligned, scaled
from infusionlaw.law.points.fitting import WIDE, Fitted, coarse, log_allowed, outlines
from infusionlaw.law.points.levels import Noise, Observed
from infusionlaw.law.points.pooling import MANY, Pool, Shape
from infusionlaw.law.points.shapes import NEVER, Edges

Where = Literal["rise", "half", "fall"]
# Sketches this much less likely than the best are left out. So many SOUGHT of what is looked for are tried with so many
# PARTNERS, and each stands for SMOOTH bins. HALF_WAY: deviation of what is left of a fall where half is left.
PARTNER, SOUGHT, PARTNERS, SMOOTH, HALF_WAY = 9.0, 300, 24, 0.9, 0.5
# A dose is on the plateau where rise and fall have come this far, and gone no further.
REACHED = 0.95
# A fall shows by two doses on the plateau before it and one beyond.
PLATEAU = 3


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


@dataclass(frozen=True)
class Sketch:
    """A curve's sketches: one for each noise and form that its table believes in, each with its prior weight."""

    parts: tuple[tuple[Noise, float, Fitted], ...]
    pool: Pool

    @property
    def peak(self) -> float:
        """The largest log likelihood."""
        return max(fit.peak for _, _, fit in self.parts)

    @property
    def best(self) -> Fitted:
        """The sketch with the likeliest shape."""
        return max((fit for _, _, fit in self.parts), key=lambda fit: fit.peak)

    @property
    def on_plateau(self) -> int:
        """How many doses the best shape has on its plateau, between its rise and its fall."""
        fit = self.best
        i, j = np.unravel_index(fit.log_likelihood.argmax(), fit.log_likelihood.shape)
        return int(((fit.rises.height[i] > REACHED) & (fit.falls.height[j] > REACHED)).sum())

    @property
    def rises_to_the_end(self) -> bool:
        """Whether the best shape without a fall has fewer than PLATEAU doses on its plateau: none would show."""
        best = max((fit for _, _, fit in self.parts), key=lambda fit: float(fit.log_likelihood[:, -1].max()))
        rise = best.rises.height[best.log_likelihood[:, -1].argmax()]
        return bool((rise > 0).any() and (rise > REACHED).sum() < PLATEAU)

    def response(self) -> Response:
        """Posterior means and deviations of the plateau, the floor and the widths, over all shapes."""
        weights, values = [], []
        for _, p, fit in self.parts:
            at = np.nonzero(fit.log_likelihood > self.peak - PARTNER)
            weights.append(p * np.exp(fit.log_weight[at] - self.peak))
            _, plateau, floor = fit.levels(at).mean
            values.append([plateau, floor, np.log10(fit.rises.width)[at[0]], np.log10(fit.falls.width)[at[1]]])
        weight = np.concatenate(weights)
        return Response(*(_level(np.concatenate(value), weight) for value in zip(*values, strict=True)))


def sketches(data: Observed, pool: Pool) -> Sketch:
    """The sketch of a curve under what its table believes."""
    likeliest = pool.noises[0][0]
    rough = [(outlines(data, form, likeliest, MANY)[0], q) for form, q in pool.forms]
    return Sketch(
        tuple((noise, p * q, _believed(own.under(data, noise), pool)) for noise, p in pool.noises for own, q in rough),
        pool,
    )


def _believed(fit: Fitted, pool: Pool) -> Fitted:
    """A sketch whose falls weigh as much as their widths are likely."""
    falls = replace(fit.falls, weight=fit.falls.weight * pool.width_weight(fit.falls.width))
    return replace(fit, lattice=replace(fit.lattice, falls=falls))


@dataclass(frozen=True)
class Located:
    """Where a curve begins to rise, is half way up, or begins to fall.

    assumed: the likelihood under each shape that all curves of the table may share; likelihood: over all of them.
    """

    likelihood: Likelihood
    assumed: tuple[Assumed, ...]


def located(data: Observed, which: Where, rough: Sketch) -> Located:
    """Locate a point by all shapes together, and by each that the curves of its table may share."""
    shapes = rough.pool.shapes
    found = _likelihoods(data, which, rough, shapes)
    return Located(found[0], tuple(Assumed(shape.weight, own) for shape, own in zip(shapes, found[1:], strict=True)))


def locate(data: Observed, which: Where, rough: Sketch) -> Likelihood:
    """The likelihood of where a curve begins to rise, is half way up, or begins to fall, by all shapes together."""
    return _likelihoods(data, which, rough, ())[0]


def _likelihoods(data: Observed, which: Where, rough: Sketch, shapes: Sequence[Shape]) -> list[Likelihood]:
    """The likelihood of a place by all shapes together, then under each of these."""
    doses = data.x[np.isfinite(data.x)]
    start, count = aligned(doses[0] - REACH, doses[-1])
    inside, never = np.zeros((1 + len(shapes), count)), np.zeros(1 + len(shapes))
    for noise, p, fit in rough.parts:
        if fit.peak > rough.peak - PARTNER:
            many = (PARTNERS, SOUGHT) if which == "fall" else (SOUGHT, PARTNERS)
            own, value, smear = _weighed(data, noise, fit.closer(data, *many).under(data, noise), rough.peak, which)
            width = own.width if which == "fall" else np.full(len(own.width), np.nan)
            under = np.concatenate([value[None], value * rough.pool.relative(fit.form, width, shapes)])
            for i, each in enumerate(under):
                density, beyond = _density(own, each, smear, which, start, count)
                inside[i], never[i] = inside[i] + p * density, never[i] + p * beyond
    first = round((aligned(doses[0], doses[-1])[0] - start) / STEP)
    explained = inside.any(1) | (never > 0)  # by some shapes nothing is: they say what all together say
    return [
        scaled(start + first * STEP, inside[i, first:], float(inside[i, :first].mean()) if first else 0.0, never[i])
        for i in np.where(explained, np.arange(len(explained)), 0)
    ]


def _weighed(data: Observed, noise: Noise, fit: Fitted, peak: float, which: str) -> tuple[Edges, Array, float]:
    """The rises or falls that are looked for, what each explains over all partners, and how far to smear it."""
    if which == "fall":
        own, value = fit.falls, fit.of_falls * np.exp(fit.peak - peak)
        return own, value, _smear(data, noise, own, value)
    own, (rise, fall) = fit.rises, fit.at
    every = coarse(tuple(data.x.tolist()), fit.form, data.settled).falls
    room = np.maximum(np.exp(log_allowed(own, every)) @ every.weight, WIDE.dex / WIDE.parts)
    value = np.bincount(rise, fit.falls.weight[fall] * np.exp(fit.found - peak), len(own.knot))
    return own, value / room, 0.0


def _density(own: Edges, value: Array, smear: float, which: str, start: float, count: int) -> tuple[Array, float]:
    """The likelihood of each bin (count,) from `start`, over all widths, and that of none at all."""
    there = np.isfinite(own.knot)
    place, mass = own.part(0.5 if which == "half" else 0.0)[there], (value * own.weight)[there]
    found = np.histogram(place, start + STEP * np.arange(count + 1), weights=mass)[0] / STEP
    beyond = float(mass[place > start + STEP * count].sum() / REACH + value[own.knot == NEVER].sum())
    return gaussian_filter1d(found, np.hypot(SMOOTH, smear / STEP), mode="nearest"), beyond


def _smear(data: Observed, noise: Noise, own: Edges, value: Array) -> float:
    """How far the mean of the seeds' own falls may lie from that of all seeds, in dex.

    A seed that falls early may do so at every dose, which shows in no scatter about a curve. Runs of all or nothing are
    drawn again at every dose.
    """
    if noise.knots in (0.0, 1.0):
        return 0.0
    there = np.isfinite(own.width)
    weight = (value * own.weight)[there]
    width = float(weight @ own.width[there] / weight.sum()) if weight.sum() else 0.0
    runs = data.runs[np.isfinite(data.runs)]
    return noise.knots * width * HALF_WAY / float(np.sqrt(np.median(runs)))


def _level(value: Array, weight: Array) -> Level:
    """Weighted mean and deviation over the shapes that have the value."""
    known = np.isfinite(value)
    if not known.any():
        return Level(0.0, 1.0)
    value, weight = value[known], weight[known] / weight[known].sum()
    mean = float(value @ weight)
    return Level(mean, float(np.sqrt((value - mean) ** 2 @ weight)))
