"""What might explain a collapse away: how far a point lies from that of the grid with one setting changed.

A point's move is the difference of two points, in dex of odds and of exposures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, log10

from experiments.analysis.findings import FALLS
from infusionlaw.law.dose import Interval
from infusionlaw.law.points.point import Point


@dataclass(frozen=True)
class Shift:
    """How far a point moved, in dex of odds or of exposures, with its 90 % interval."""

    moved: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high


def shift(base: Interval, other: Interval) -> Shift | None:
    """The difference of two independent points; their half intervals add in quadrature, end by end.

    None where one of them is a bound or open: then no number says how far.
    """
    if base.value is None or base.low is None or base.high is None:
        return None
    if other.value is None or other.low is None or other.high is None:
        return None
    moved = other.value - base.value
    below = hypot(other.value - other.low, base.high - base.value)
    above = hypot(other.high - other.value, base.value - base.low)
    return Shift(moved, moved - below, moved + above)


@dataclass(frozen=True)
class Move:
    """A collapse in the grid and with a setting changed, and how far apart they lie; None where no number says."""

    was: Point
    now: Point
    odds: Shift | None
    exposures: Shift | None


def moves(base: Sequence[Point], changed: Sequence[Point]) -> Iterator[Move]:
    """Every collapse that both have."""
    before = {(point.kind, point.size, point.tokens): point for point in base}
    for now in changed:
        was = before.get((now.kind, now.size, now.tokens))
        if now.kind in FALLS and was is not None:
            yield Move(was, now, shift(was.x, now.x), shift(was.exposures.map(log10), now.exposures.map(log10)))
