"""What a curve says of where its point lies: a likelihood over x, kept as it is and not as a mean with an error.

Between two doses many places fit equally well, two places may fit, and a point beyond the doses is only bounded. So the
relative likelihood is kept in bins of STEP dex over the doses tried, with one value for everything below and one for
everything above them. A law is fitted to this. Read on its own, under a flat prior that reaches REACH beyond the doses
on either side, it gives the point's interval.

A law places the point at mu with scatter sigma; its likelihood is then the mean of this one over N(mu, sigma^2).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from infusionlaw.law.dose import LEVEL, Array, Interval

STEP, REACH = 0.025, 1.0
# Beyond the doses of all curves a law looks at TAILS steps of TAIL_STEP dex.
TAIL_STEP, TAILS = 0.25, 16
# No place is ruled out by more than this: curves go wrong for reasons that no noise model knows.
FLOOR = 1e-5
# Two stretches of likelihood are two places when they lie this far apart (dex) and hold this part of it each.
GAP, PLACE = 0.25, 0.05


@dataclass(frozen=True)
class Likelihood:
    """Relative likelihood in bins of STEP from `start`: inside (G,), and below and above them. The largest is 1."""

    start: float
    inside: tuple[float, ...] = field(repr=False)
    below: float
    above: float

    @property
    def edges(self) -> Array:
        """Edges of the bins (G + 1,)."""
        return np.asarray(self.start + STEP * np.arange(len(self.inside) + 1))

    @property
    def masses(self) -> Array:
        """Posterior mass below, in each bin, and above (G + 2,), under the flat prior; they add up to 1."""
        mass = np.concatenate([[self.below * REACH], np.array(self.inside) * STEP, [self.above * REACH]])
        return np.asarray(mass / mass.sum())

    def quantile(self, p: float) -> float:
        """The place below which the share p of the posterior lies; -inf and inf outside the bins."""
        total = np.cumsum(self.masses)
        if p <= total[0]:
            return -np.inf
        if p > total[-2]:
            return np.inf
        return float(np.interp(p, total[:-1], self.edges))

    def interval(self) -> Interval:
        """Median and 90 % interval; an end outside the bins is None."""
        ends = [self.quantile(p) for p in (0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2)]
        return Interval(*(end if np.isfinite(end) else None for end in ends))

    def places(self) -> list[tuple[float, float]]:
        """The places that fit, (median, mass) in order of x: pieces of the smallest set of bins with 90 % of the mass.

        Pieces nearer than GAP are one; those with less than PLACE of the mass are none.
        """
        mass = self.masses[1:-1]
        order = np.argsort(-mass)
        enough = int(np.searchsorted(mass[order].cumsum(), LEVEL * mass.sum())) + 1
        chosen = np.sort(order[:enough])
        pieces = np.split(chosen, np.flatnonzero(np.diff(chosen) > GAP / STEP) + 1)
        found = [(self._middle(piece), float(mass[piece].sum())) for piece in pieces]
        return [place for place in found if place[1] >= PLACE]

    def _middle(self, bins: NDArray[np.intp]) -> float:
        """Median of the mass within some bins."""
        mass = self.masses[1:-1][bins].cumsum()
        return float(self.edges[bins[np.searchsorted(mass, mass[-1] / 2)]] + STEP / 2)


@dataclass(frozen=True)
class Assumed:
    """A point's likelihood under one shape that all curves of its table may share. weight: how likely the shape is."""

    weight: float
    likelihood: Likelihood


def aligned(low: float, high: float) -> tuple[float, int]:
    """Start and count of bins on the common lattice (whole multiples of STEP) that cover [low, high]."""
    first, last = int(np.floor(low / STEP + 1e-9)), int(np.ceil(high / STEP - 1e-9))
    return first * STEP, max(last - first, 1)


def scaled(start: float, inside: Array, below: float, above: float) -> Likelihood:
    """A likelihood with its largest value 1 and none below FLOOR; rounded, so that files stay small."""
    top = max(float(np.max(inside)), below, above)
    values = np.maximum(np.concatenate([inside, [below, above]]) / top, FLOOR)
    rounded = [float(f"{value:.4g}") for value in values]
    return Likelihood(round(start, 6), tuple(rounded[:-2]), rounded[-2], rounded[-1])


def normal(value: float, sd: float) -> Likelihood:
    """The likelihood of a point known as value +- sd, as other people publish them."""
    start, count = aligned(value - 5 * sd, value + 5 * sd)
    edges = start + STEP * np.arange(count + 1)
    return scaled(start, np.diff(ndtr((edges - value) / sd)), 0.0, 0.0)


def bound(low: float | None = None, high: float | None = None) -> Likelihood:
    """The likelihood of a point known only to lie above `low`, or below `high`."""
    at = low if low is not None else high
    if at is None:
        raise ValueError("a bound needs an end")
    start, _ = aligned(at, at)
    above, below = (1.0, 0.0) if low is not None else (0.0, 1.0)
    return scaled(start, np.array([0.5]), below, above)


def from_interval(x: Interval) -> Likelihood | None:
    """The likelihood that a published value with its interval, or a bound, stands for; None when it says nothing.

    The interval is 90 %; a value without one is taken as good to a dex, one with one end by that end.
    """
    if x.value is not None:
        sides = [abs(end - x.value) for end in (x.low, x.high) if end is not None]
        return normal(x.value, max(float(np.mean(sides)) / 1.645, STEP / 2) if sides else 1.0)
    return None if x.low is None and x.high is None else bound(x.low, x.high)


def table(likelihoods: list[Likelihood], mu: Array, sigma: Array) -> Array:
    """log of each likelihood's mean over N(mu, sigma^2): (n, S, M) for sigma (S,) and mu (M,)."""
    low = min(item.start for item in likelihoods)
    high = max(item.start + STEP * len(item.inside) for item in likelihoods)
    start, count = aligned(low, high)
    inner, outer = start + STEP * np.arange(count + 1), TAIL_STEP * np.arange(1, TAILS + 1)
    edges = np.concatenate([inner[0] - outer[::-1], inner, inner[-1] + outer])
    middle = np.concatenate([[edges[0]], (edges[1:] + edges[:-1]) / 2, [edges[-1]]])
    density = np.stack([_density(item, middle) for item in likelihoods], axis=1)
    out = np.empty((len(likelihoods), len(sigma), len(mu)))
    for s, width in enumerate(sigma):
        below = ndtr((edges - mu[:, None]) / width)
        kernel = np.diff(below, axis=1, prepend=0.0, append=1.0)
        out[:, s] = np.log(np.maximum(kernel @ density, 1e-300)).T
    return out


def _density(item: Likelihood, x: Array) -> Array:
    """A likelihood at x (n,), as a law sees it: beyond its bins it falls off as 1 / (1 + (distance / REACH)^2).

    Without that, a law that lies nowhere near the doses, where every curve says the same little, would win by the sheer
    room that there is.
    """
    first, last = item.start, item.start + STEP * len(item.inside)
    index = np.clip(np.floor((x - first) / STEP + 1e-9).astype(int), 0, len(item.inside) - 1)
    value = np.where(x < first, item.below, np.where(x > last, item.above, np.array(item.inside)[index]))
    distance = np.maximum(np.maximum(first - x, x - last), 0.0) / REACH
    return np.asarray(value / (1 + distance**2))
