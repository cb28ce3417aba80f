"""Verdicts that are close, and the runs that would settle them.

A rise or a fall is found where the probability that there is none is small (`points.find`). Where that lies within a
factor of FACTOR of the threshold, on either side, a little more noise would have turned the verdict. One run at a dose
x, by which the shapes with and those without the rise or fall differ by d in their mean score, is expected to add

    d^2 / 2 (noise^2 + v)

to the logarithm of the odds, v being how uncertain the score there is given either. The runs named are so many that
this sum takes the odds beyond FACTOR. A law's direction is close where the interval of its exponent barely holds, or
excludes, zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from infusionlaw.law.design.next_dose import Shapes, most_telling, shapes
from infusionlaw.law.dose import Array, Interval
from infusionlaw.law.likelihood import Likelihood
from infusionlaw.law.planning.compare import UNINFORMATIVE
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.detect import located, sketches
from infusionlaw.law.points.find import AS_GOOD, UNSURE, observed, with_pools
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.points.pooling import Pool
from infusionlaw.law.scaling.law import KindLaw
from infusionlaw.runs.outcomes import Outcome, outcomes_with_points
from infusionlaw.runs.record import DoseUnit, RunRecord

FACTOR = 3.0
STEP, APART, MOST_RUNS = 0.05, 0.15, 8  # of the doses to choose from and between two of them, dex; runs at each
BARELY = 0.15  # an interval barely holds or excludes zero where it goes so far beyond it, in parts of its width
FARTHER = 4.0  # how far beyond the largest tried another size or token count is taken to lie
MOST_MORE = 3
MOST_CURVES = 4  # that are looked at again: each takes a tenth of a second or more


@dataclass(frozen=True)
class Close:
    """A verdict on one point that is close. found: whether the point was; none: the probability that there is none.

    doses: where runs tell most, in `unit`; runs: how many at each of them would be expected to settle it, None where
    more than MOST_RUNS would be needed.
    """

    kind: Kind
    size: float
    tokens: float
    found: bool
    none: float
    unit: DoseUnit
    doses: tuple[float, ...]
    runs: int | None


def close_points(rows: Sequence[RunRecord], points: Sequence[Point], most: int = MOST_CURVES) -> list[Close]:
    """The verdicts on rises and falls that are close, in the order of the points, which are those of the rows.

    Only curves whose verdict is close, or on which nothing was ever learned, are looked at again, `most` an outcome.
    """
    found: list[Close] = []
    for outcome in outcomes_with_points(rows):
        rises = {kind.name: kind.change == "learned" for kind in outcome.points if kind.change in ("learned", "lost")}
        own = [point for point in points if point.kind in rises and not point.held_out]
        mine = [point for point in own if _may_be_close(point, rises[point.kind])]
        curves = _curves(rows, outcome) if mine else {}
        for point in mine[:most]:
            if on := curves.get(_place(point)):
                found += _close(point, rises[point.kind], *on)
    return found


@dataclass(frozen=True)
class Vague:
    """A point that was found and hardly placed: open at an end, in two places, or wider than UNINFORMATIVE dex.

    doses: the two at which one run each tells most of the place; sd: its deviation in dex now and with these runs.
    """

    kind: Kind
    size: float
    tokens: float
    unit: DoseUnit
    doses: tuple[float, ...]
    sd: tuple[float, float]


def vague_points(rows: Sequence[RunRecord], points: Sequence[Point], most: int = MOST_CURVES) -> list[Vague]:
    """The falls that were found and hardly placed, `most` an outcome, in the order of the points, which are those of
    the rows."""
    found: list[Vague] = []
    for outcome in outcomes_with_points(rows):
        if lost := outcome.point("lost"):
            mine = [p for p in points if p.kind == lost.name and not p.held_out and _is_vague(p)]
            curves = _curves(rows, outcome) if mine else {}
            found += [_vague(point, *on) for point in mine[:most] if (on := curves.get(_place(point)))]
    return found


def _is_vague(point: Point) -> bool:
    x = point.x
    if point.likelihood is None or x.value is None or _is_close(_odds(point.likelihood, rise=False)):
        return False
    return x.low is None or x.high is None or point.status == "ambiguous" or x.high - x.low > UNINFORMATIVE


def _vague(point: Point, curve: Curve, pool: Pool) -> Vague:
    rough = sketches(pool.seen_by(observed(curve)), pool)
    x = np.arange(curve.x[0], curve.x[-1] + STEP / 2, STEP)
    told = most_telling(curve, rough, x, 2)
    doses = sorted({float(f"{float(curve.scale.dose(x[i])):.3g}") for i in told.chosen})
    return Vague(point.kind, point.size, point.tokens, curve.scale.unit, tuple(doses), (told.sd[0], told.sd[-1]))


def _curves(rows: Sequence[RunRecord], outcome: Outcome) -> dict[tuple[float, float, float | None], tuple[Curve, Pool]]:
    """The curves of an outcome with what to believe of each, by size, token count and facts."""
    every = with_pools(tuple(rows), outcome)
    return {_place(curve): (curve, pool) for curve, pool in every if not curve.held_out and len(curve.x) > 1}


def _place(item: Point | Curve) -> tuple[float, float, float | None]:
    return item.size, item.tokens, item.facts


def _odds(place: Likelihood, rise: bool) -> float:
    """How far a verdict lies from its threshold: above 1 nothing is found."""
    none = float(place.masses[-1]) / UNSURE
    return none if rise else max(none, place.above / AS_GOOD)


def _is_close(odds: float) -> bool:
    return 1 / FACTOR <= odds <= FACTOR


def _may_be_close(point: Point, rise: bool) -> bool:
    """Whether a verdict is close, or is one on a rise, of which none keeps no likelihood."""
    if point.likelihood is None:
        return rise and point.status == "not reached"
    return _is_close(_odds(point.likelihood, rise))


def _close(point: Point, rise: bool, curve: Curve, pool: Pool) -> list[Close]:
    data = pool.seen_by(observed(curve))
    rough = sketches(data, pool)
    place = point.likelihood or located(data, "rise" if rise else "fall", rough).likelihood
    odds = _odds(place, rise)
    if not _is_close(odds):
        return []
    x = np.concatenate([curve.x, np.arange(curve.x[0], curve.x[-1], STEP)])
    if rise and curve.zero is None:
        x = np.append(x, -np.inf)
    told = _Told.of(shapes(rough, x), rise, float(np.median(curve.sd**2 * curve.seeds)))
    chosen = told.chosen(x)
    needed = log(FACTOR) + abs(log(odds))
    enough = (n for n in range(1, MOST_RUNS + 1) if told.by(chosen, n) >= needed)
    doses = sorted(float(f"{float(curve.scale.dose(x[i])):.3g}") for i in chosen)
    return [
        Close(
            point.kind,
            point.size,
            point.tokens,
            odds <= 1,
            float(place.masses[-1]),
            curve.scale.unit,
            tuple(doses),
            next(enough, None),
        )
    ]


@dataclass(frozen=True)
class _Told:
    """What runs at G places tell: squared difference of the mean scores, their variance, and that of one run."""

    difference: Array
    variance: Array
    noise: float

    @classmethod
    def of(cls, found: Shapes, rise: bool, noise: float) -> "_Told":
        with_it = np.isfinite(found.rise_knot) if rise else np.isfinite(found.knot)
        means, variances = zip(*(_moments(found, which) for which in (with_it, ~with_it)), strict=True)
        return cls((means[0] - means[1]) ** 2, np.maximum(*variances), noise)

    def by(self, at: Sequence[int], runs: int) -> float:
        """The logarithm of the odds that so many runs at each of some places are expected to add."""
        spread = 2 * (self.noise / runs + self.variance)
        return float((self.difference / spread)[list(at)].sum())

    def chosen(self, x: Array) -> list[int]:
        """The place that tells most, and the one that does APART or more from it."""
        each = self.difference / (2 * (self.noise + self.variance))
        first = int(np.argmax(each))
        far = np.where(
            np.isfinite(x) & np.isfinite(x[first]), np.abs(x - x[first]) >= APART, np.arange(len(x)) != first
        )
        return [first, int(np.argmax(np.where(far, each, -1.0)))] if far.any() else [first]


def _moments(found: Shapes, which: Array) -> tuple[Array, Array]:
    """Mean and variance of the score at each place over some of the shapes."""
    weight = found.weight * which
    if not weight.sum():
        return np.zeros(found.value.shape[1]), np.zeros(found.value.shape[1])
    weight = weight / weight.sum()
    mean = weight @ found.value
    within = weight @ (found.spread**2).sum(1)
    return np.asarray(mean), np.asarray(weight @ (found.value - mean) ** 2 + within)


@dataclass(frozen=True)
class CloseExponent:
    """An exponent whose sign is nearly told, or only just. more: the sizes, or token counts, that would be expected to
    settle it, each FARTHER times the one before; none where MOST_MORE would not."""

    covariate: str
    told: bool
    more: tuple[float, ...]


def close_exponent(law: KindLaw, covariate: str) -> CloseExponent | None:
    """What is close about the exponent of size or tokens of a law; None where its sign is plain, or plainly unknown."""
    exponent = law.coefficients.get(covariate, Interval())
    value, low, high = exponent.value, exponent.low, exponent.high
    if value is None or low is None or high is None or value == 0:
        return None
    near = low if value > 0 else -high
    if abs(near) > BARELY * (high - low):
        return None
    tried = np.log10([getattr(p, covariate) for p in law.points if p.in_law and p.x.value is not None])
    reach = abs(value) - near  # half of the interval, on the side of zero
    more: list[float] = []
    while len(more) < MOST_MORE:
        more.append(float(f"{10 ** float(tried.max()) * FARTHER ** (len(more) + 1):.2g}"))
        spread = _squares(tried) / _squares(np.append(tried, np.log10(more)))
        if abs(value) - reach * spread**0.5 > BARELY * (high - low) * spread**0.5:
            return CloseExponent(covariate, near > 0, tuple(more))
    return CloseExponent(covariate, near > 0, ())


def _squares(values: Array) -> float:
    return float(((values - values.mean()) ** 2).sum())
