"""What a dose is held against: the largest that each constraint allows at a target.

    P(x beyond collapse of recall) <= risk,  P(x beyond collapse of retention) <= risk,  E[rise of loss] <= tolerance

The first two are quantiles of the law's predictive distributions, the third follows from the law of the cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from infusionlaw.law.dose import Array, Interval, x_at
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.law import Law
from infusionlaw.law.scores.plateaus import widths

Constraint = Literal[
    "collapse of recall",
    "collapse of retention",
    "validation loss",
    "room in the training tokens",
    "largest dose seen without collapse",
]
MOST = 0.97  # the largest share that is ever advised: beyond it next to no general text is left
TRIED: Constraint = "largest dose seen without collapse"


@dataclass(frozen=True)
class Target:
    """What is asked for, and what is held against a dose. tolerance: bits per byte, None for any rise."""

    size: float
    tokens: float
    facts: float | None
    tokens_per_fact: float | None
    risk: float
    tolerance: float | None


@dataclass(frozen=True)
class Limit:
    """The largest dose x that one constraint allows, and draws of it less their median.

    A constraint that cannot be checked allows any dose: x is inf, and reason says why.
    """

    name: Constraint
    x: float
    shifts: Array
    reason: str = ""


def draws(law: Law, kind: Kind, target: Target) -> Array:
    """Predictive draws of x of a point at a target (M,); M = 0 when not fitted.

    Acquisition is where recall leaves guessing, whichever part of the way up the law's points are (`Point.level`).
    """
    drawn = law.draws_at(kind, target.size, target.tokens, target.facts, target.tokens_per_fact)
    level = law.of(kind).level if kind == "acquisition" else None
    rise = widths(law.plateaus.rise if law.plateaus else None, 6, drawn.shape[1]) if level else 0.0
    return np.asarray(drawn[0] - (level or 0.0) * rise)


def text_of(law: Law, target: Target, x: float) -> float:
    """x of the dose with as much infused text for the table's own facts: what crowds out the rest."""
    if law.unit == "share":
        return x
    pairs = ((target.facts, law.facts), (target.tokens_per_fact, law.tokens_per_fact))
    return x + float(sum(np.log10(mine / own) for mine, own in pairs if mine and own))


def limits(law: Law, target: Target) -> tuple[Limit, ...]:
    """What each constraint allows at a target, and the room in its token count. Without a law of collapse, no dose
    beyond those tried is allowed.

    Nor is one beyond what any curve was cleared of a collapse up to.
    """
    found = [
        _beyond(law, target, "collapse", "collapse of recall"),
        _beyond(law, target, "retention", "collapse of retention"),
    ]
    if target.tolerance is not None:
        found.append(_cost(law, target, target.tolerance))
    per_share = law.scale(target.tokens, target.facts).per_share
    if law.unit == "exposures" and per_share:  # a share ends by itself
        found.append(Limit("room in the training tokens", float(np.log10(MOST * per_share)), np.zeros(1)))
    if found[0].reason and law.doses[1] > 0:
        found.append(Limit(TRIED, clear(law, "collapse") - text_of(law, target, 0.0), np.zeros(1)))
    return tuple(found)


def clear(law: Law, kind: Kind) -> float:
    """The largest dose tried, in x, or the least that some curve was cleared of a collapse of this kind up to.

    -inf where a curve collapses before its smallest dose: then no dose is clear.
    """
    first, tried = (float(x_at(dose, law.unit)) for dose in law.doses)
    return min([tried, *(_cleared(point, first) for point in law.of(kind).points if point.in_law)])


def _cleared(point: Point, first: float) -> float:
    """Up to which x a point lets its curve be called clear of it; first: the smallest dose."""
    if point.x.low is not None:
        return point.x.low
    if point.status == "before the grid":
        return -np.inf
    # nothing is known of a curve that could not be measured, or never rose
    known = point.status == "not reached" or point.x != Interval()
    return first if known else np.inf


def _beyond(law: Law, target: Target, kind: Kind, name: Constraint) -> Limit:
    x = draws(law, kind, target)
    if not len(x):
        return Limit(name, np.inf, np.zeros(1), law.of(kind).reason)
    return Limit(name, float(np.quantile(x, target.risk)), x - np.median(x))


def _cost(law: Law, target: Target, tolerance: float) -> Limit:
    if law.cost is None:
        reason = "the table has no validation loss at dose 0 and at three doses above it"
        return Limit("validation loss", np.inf, np.zeros(1), reason)
    x = law.cost.dose_of(tolerance, target.size, target.tokens)
    allowed = law.cost.allowed(tolerance, target.size, target.tokens)
    return Limit("validation loss", allowed - text_of(law, target, 0.0), x - np.median(x))


def tightest(found: Sequence[Limit]) -> Limit:
    """The limit that allows least."""
    return min(found, key=lambda limit: limit.x)


def works(law: Law, target: Target) -> bool:
    """Whether some dose that is allowed lies beyond the median of acquisition, from which facts begin to be learned."""
    return float(np.median(draws(law, "acquisition", target))) <= tightest(limits(law, target)).x
