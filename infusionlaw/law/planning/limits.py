"""What a dose is held against: the largest that each constraint allows at a target.

    P(x beyond the collapse of an outcome) <= risk, for each outcome that has one,  E[rise of loss] <= tolerance

The first are quantiles of the law's predictive distributions. The last follows from the law of the cost, or from the
laws of losses where the law has them (`losses`): then the median change is held against the tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array, Interval, log_odds, x_at
from infusionlaw.law.losses.law import LARGEST_SHARE, NO_REFERENCE, LossLaw
from infusionlaw.law.losses.measured import GENERAL
from infusionlaw.law.planning.at_target import AtTarget
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.law import Law
from infusionlaw.runs.outcomes import ACQUISITION, COLLAPSE, PointKind, kind_named

LEAST_X = -6.0  # where a tolerance allows no share at all
LOSS_LIMIT, ROOM_LIMIT, TRIED_LIMIT = (
    "validation loss",
    "room in the training tokens",
    "largest dose seen without collapse",
)
LOWEST = "lowest "  # before the title of a loss of domain text that rises again
NO_COST = "the table has no validation loss at dose 0 and at three doses above it"


@dataclass(frozen=True)
class Limit:
    """The largest dose x that one constraint allows, and draws of it less their median.

    A constraint that cannot be checked allows any dose: x is inf, and reason says why. of_tolerance: whether it is the
    tolerance of a loss, or of a score against the start.
    """

    name: str
    x: float
    shifts: Array
    reason: str = ""
    of_tolerance: bool = False


def limits(at: AtTarget) -> tuple[Limit, ...]:
    """What each constraint allows at a target, and the room in its training tokens.

    Without a law of collapse, no dose beyond those tried is allowed, nor one beyond what any curve was cleared of a
    collapse up to.
    """
    found = [_beyond(at, kind) for kind in map(kind_named, at.law.kind_names) if kind.change in ("lost", "fallen")]
    if at.target.tolerance is not None:
        losses = limiting(at.law)
        found += [_loss(at, law, at.target.tolerance) for law in losses] or [_cost(at, at.target.tolerance)]
    found += [_lowest(at, loss) for loss in at.law.losses if rises_again(at.law, loss)]
    per_share = at.scale.per_share
    if at.law.unit == "exposures" and per_share:  # a share ends by itself
        found.append(Limit(ROOM_LIMIT, float(np.log10(LARGEST_SHARE * per_share)), np.zeros(1)))
    if not at.law.of(COLLAPSE.name).forms and at.law.doses[1] > 0 and not of_losses_alone(at.law):
        found.append(Limit(TRIED_LIMIT, clear(at.law, COLLAPSE.name) - at.text_of(0.0), np.zeros(1)))
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


def _beyond(at: AtTarget, kind: PointKind) -> Limit:
    x, fallen = at.draws(kind.name), kind.change == "fallen"
    if len(x):
        return Limit(kind.title, float(np.quantile(x, at.target.risk)), x - np.median(x), of_tolerance=fallen)
    if (least := forgets_from(at.law, kind)) is not None:
        return Limit(kind.title, least - at.text_of(0.0), np.zeros(1), of_tolerance=True)
    return Limit(kind.title, np.inf, np.zeros(1), at.law.of(kind.name).reason)


def forgets_from(law: Law, kind: PointKind) -> float | None:
    """The largest x that all curves are within the tolerance of their start up to, where some are not up to the largest
    dose and no law says where; else None. -inf where one never is."""
    own = law.of(kind.name)
    forgets = any(point.status in ("found", "before the grid") for point in own.points if point.in_law)
    return clear(law, kind.name) if kind.change == "fallen" and not own.forms and forgets else None


def _cost(at: AtTarget, tolerance: float) -> Limit:
    cost, target = at.law.cost, at.target
    if cost is None:
        return Limit(LOSS_LIMIT, np.inf, np.zeros(1), NO_COST)
    x = cost.dose_of(tolerance, target.size, target.tokens)
    allowed = cost.allowed(tolerance, target.size, target.tokens)
    return Limit(LOSS_LIMIT, allowed - at.text_of(0.0), x - np.median(x), of_tolerance=True)


def rises_again(law: Law, loss: LossLaw) -> bool:
    """Whether a loss of domain text bounds the dose: it rises again, and no law of acquisition says what is learned."""
    return loss.lowest is not None and not law.of(ACQUISITION.name).forms


def _lowest(at: AtTarget, loss: LossLaw) -> Limit:
    """The most of the domain at which its loss was lowest: as many tokens of it, so that it is read as often."""
    share = min((loss.lowest or 0.0) / at.target.tokens, LARGEST_SHARE)
    return Limit(f"{LOWEST}{loss.title}", float(log_odds(share)), np.zeros(1))


def limiting(law: Law) -> list[LossLaw]:
    """The laws of the losses that a tolerance holds for: validation loss, or else its sources."""
    rising = [loss for loss in law.losses if loss.displaced]
    return [loss for loss in rising if loss.loss == GENERAL] or rising


def _loss(at: AtTarget, law: LossLaw, tolerance: float) -> Limit:
    name, target = LOSS_LIMIT if law.loss == GENERAL else law.title, at.target
    if not law.surfaces or not law.since:
        return Limit(name, np.inf, np.zeros(1), law.reason or NO_REFERENCE)
    x = np.clip(law.allowed(tolerance, target.size, target.tokens), LEAST_X, log_odds(LARGEST_SHARE))
    middle = float(np.median(x))
    return Limit(name, middle, x - middle, of_tolerance=True)


def of_losses_alone(law: Law) -> bool:
    """Whether a table has losses and no recall."""
    return bool(law.losses) and not law.of(COLLAPSE.name).points


def tightest(found: Sequence[Limit]) -> Limit:
    """The limit that allows least."""
    return min(found, key=lambda limit: limit.x)


def works(at: AtTarget) -> bool:
    """Whether some dose that is allowed lies beyond the median of acquisition, from which facts begin to be learned."""
    return float(np.median(at.draws(ACQUISITION.name))) <= tightest(limits(at)).x
