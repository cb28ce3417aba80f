"""From curves to points: acquisition, collapse of recall and of retention, tolerance of validation loss, forgetting.

Where recall or retention rises or falls is the posterior over all shapes that explain the curve (`detect`), with what
the other curves of its table say of noise, form, width and levels (`pooling`). A rise or a fall is found where the
probability that there is none is at most UNSURE. The likelihood decides the status: most of it below the smallest dose
is `before the grid`, most above the largest `not reached`, two places apart `ambiguous`.

Guessing that nobody stated is unknown, not zero: a score that is high at every dose was learned before the smallest,
and one that is low at every dose cannot be told from guessing.

Validation loss only rises, and a score that is held against a start only falls: `tolerance` has their detector.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from infusionlaw.errors import InputError, nearest
from infusionlaw.law.dose import LEVEL, Interval
from infusionlaw.law.likelihood import Likelihood
from infusionlaw.law.numbers import amount
from infusionlaw.law.points.curves import Curve, curves
from infusionlaw.law.points.detect import Sketch, located, sketches
from infusionlaw.law.points.levels import Observed, Prior
from infusionlaw.law.points.point import Kind, Point, Status
from infusionlaw.law.points.points import Points
from infusionlaw.law.points.pooling import Pool, pooled
from infusionlaw.law.points.shapes import Detector
from infusionlaw.law.points.tolerance import rise_of_loss
from infusionlaw.law.uncertainty import perturbed
from infusionlaw.runs.outcomes import (
    TOLERANCE,
    Change,
    Outcome,
    PointKind,
    kind_named,
    order_of,
    outcome_of,
    outcomes_with_points,
)
from infusionlaw.runs.record import RunRecord

Acquisition = Literal["onset", "half"]
# A rise or a fall is found where the probability that there is none is no more than UNSURE, and no fall at all explains
# the curve less than AS_GOOD as well: a score that is low at every dose need not have fallen before the smallest.
UNSURE, AS_GOOD = 0.1, 0.135
NOT_LEARNED = "{} never leaves guessing: nothing was ever learned"
NOT_TOLD = "{} is much the same at every dose, and neither a dose 0 nor `chance` says what guessing gives; add one"
NOTHING_TO_LOSE = "{} never leaves guessing: there was nothing to lose"
BARE = "fewer than two doses lie on the plateau before it, so its interval may be too narrow; add doses there"
RISING = "it still rises at the largest doses, where an early collapse would not show, so the law leaves it out"
BELOW = 0.03  # deviation of how far a floor may lie below 0, where nobody stated what guessing gives
MANY_CURVES = 64  # so many curves tell what all of a table have in common
SAME_PLACE = 0.1  # dex; a bound this near the largest dose is the largest dose
LEARNED, KEPT, UNSTATED = Prior((0.2, 0.7, 0.0), (0.2, 0.3, 0.25)), Prior((0.4, 0.7, 0.0), (0.5, 0.3, 0.25)), 0.25


def find_points(
    rows: Sequence[RunRecord],
    *,
    tolerance: float = 0.05,
    forgetting: float = 0.05,
    detector: Detector = "all",
    acquisition: Acquisition = "onset",
    draws: int = 1000,
    seed: int = 0,
    only_held_out: bool = False,
) -> Points:
    """All points of a table, by kind, size, token count and facts; a kind whose score was not measured has none.

    tolerance: rise of validation loss over the start, or else over dose 0, in the table's unit; forgetting: fall of
    retention below the start, where the table has it; detector: the shapes recall and retention are fitted with;
    acquisition: where on the rise of recall its point is taken, where recall leaves guessing (`onset`) or `half` way up
    to the plateau; draws: bootstrap draws of validation loss; only_held_out: leave out the points of runs that are not
    held out, which are those of the table without the held-out runs. The same scores give the same answer, whatever
    size they belong to. Sizes, or token counts, within 1 % are one. Raises
    InputError when the rows share no unit, or for an option that is none of these.
    """
    for name, value, known in (("detector", detector, Detector), ("acquisition", acquisition, Acquisition)):
        if value not in get_args(known):
            raise InputError(f'{name} is "{value}"; {nearest(value, get_args(known))}')
    if not 0 < tolerance < np.inf:
        raise InputError(
            f"the tolerance is {tolerance:g}, which must be a rise of validation loss above 0, bits per byte"
        )
    if not 0 < forgetting < 1:
        raise InputError(f"the fall of a score that counts as forgetting is {forgetting:g}, which must lie in 0 to 1")
    found: list[Point] = []
    levels: dict[Change, float] = {"learned": 0.5 if acquisition == "half" else 0.0}
    most: dict[Change, float] = {"risen": tolerance, "fallen": forgetting}
    levels |= most
    for outcome in outcomes_with_points(rows):
        shapes = outcome.point("learned") or outcome.point("lost")
        pairs = with_pools(tuple(rows), outcome, detector) if shapes else [(c, None) for c in curves(rows, outcome)]
        for curve, pool in pairs:
            if curve.held_out or not only_held_out:
                found += _points(curve, pool, acquisition) if pool else []
                held = [kind for kind in curve.kinds if kind.change in most]
                found += [_passing(curve, kind, most[kind.change], draws, seed) for kind in held]
    return Points(in_order([replace(point, level=levels.get(kind_named(point.kind).change)) for point in found]))


def loss_points(
    rows: Sequence[RunRecord], loss: str, title: str, tolerance: float, *, draws: int = 1000, seed: int = 0
) -> list[Point]:
    """The tolerance points, by size and token count, of any loss that rises with the dose, such as one source's."""
    outcome = replace(outcome_of(TOLERANCE.name), name=loss, title=title)
    found = [_passing(curve, TOLERANCE, tolerance, draws, seed) for curve in curves(rows, outcome)]
    return [replace(point, level=tolerance) for point in found]


@lru_cache(maxsize=16)
def with_pools(rows: tuple[RunRecord, ...], outcome: Outcome, detector: Detector = "all") -> list[tuple[Curve, Pool]]:
    """Every curve of an outcome from 0 to 1, with what to believe of it by what the others say."""
    every = curves(rows, outcome)
    return list(zip(every, pools_of(every, detector), strict=True))


def pools_of(every: Sequence[Curve], detector: Detector = "all") -> list[Pool]:
    """What to believe of each curve of one outcome by what the others say; held-out ones say nothing unless all are.

    Of many curves every so manieth is asked: more hardly tell more of what all have in common.
    """
    measured = [i for i, curve in enumerate(every) if len(curve.x) > 1]
    told = [i for i in measured if not every[i].held_out] or measured
    told = told[:: -(-len(told) // MANY_CURVES) or 1]
    other, each = pooled([observed(every[i]) for i in told], detector)
    of = dict(zip(told, each, strict=True))
    return [of.get(i, other) for i in range(len(every))]


def in_order(points: Sequence[Point]) -> list[Point]:
    """Points by kind, size, token count and facts, those of held-out runs last."""
    return sorted(points, key=lambda p: (order_of(p.kind), p.size, p.tokens, p.facts or 0, p.held_out))


def _points(curve: Curve, pool: Pool, acquisition: Acquisition) -> list[Point]:
    """The points of a curve of an outcome from 0 to 1."""
    if len(curve.x) < 2:
        return [_too_few(curve, kind) for kind in curve.kinds if kind.change in ("learned", "lost")]
    learned, lost = curve.learned, curve.outcome.point("lost")
    data = pool.seen_by(observed(curve))
    rough = sketches(data, pool)
    if not learned:
        return [_fall(curve, lost.name, data, rough)] if lost else []
    found = located(data, "rise", rough)
    if found.likelihood.masses[-1] > UNSURE:
        note = (NOT_LEARNED if curve.zero or curve.guessing else NOT_TOLD).format(curve.outcome.title)
        nothing = [_nothing(curve, lost.name, "no effect", note)] if lost else []
        return [_beyond(curve, learned.name, note), *nothing]
    what = "half way from guessing to the plateau" if acquisition == "half" else ""
    before = f"{what} before the smallest dose" if what else "already above guessing at the smallest dose"
    found = located(data, "half", rough) if acquisition == "half" else found
    rise = replace(_decided(curve, learned.name, found.likelihood, before, what), assumed=found.assumed)
    return [rise, *([_fall(curve, lost.name, data, rough)] if lost else [])]


def _too_few(curve: Curve, kind: PointKind) -> Point:
    """The point of a curve with fewer than two doses: nothing can be located."""
    bare = curve.left_out and not len(curve.x) and not curve.zero
    few = f"there is nothing but {curve.left_out}" if bare else "fewer than two doses above 0 were measured"
    return _nothing(curve, kind.name, "ambiguous", f"{few}, so nothing can be located")


def observed(curve: Curve) -> Observed:
    """A curve as the detectors see it: its means, dose 0, and the stated guessing level.

    Of what is learned from the dose, that level is an observation; else the plateau begins at dose 0.
    """
    learned = curve.learned is not None
    zero = curve.zero
    extra = [(zero.mean, float(zero.runs), zero.known, zero.squares, zero.each)] if zero else []
    if learned and curve.guessing:
        extra.append((curve.guessing[0], np.inf, curve.guessing[1] ** 2, 0.0, (curve.guessing[0],)))
    y, runs, known, squares = (np.array([item[i] for item in extra]) for i in range(4)) if extra else (np.empty(0),) * 4
    floor = curve.guessing[0] if curve.guessing else UNSTATED
    prior = LEARNED if learned else KEPT
    return Observed(
        x=np.concatenate([np.full(len(extra), -np.inf), curve.x]),
        y=np.concatenate([y, curve.mean]),
        runs=np.concatenate([runs, np.array(curve.seeds, dtype=float)]),
        known=np.concatenate([known, curve.known]),
        squares=np.concatenate([squares, curve.squares]),
        each=(*(item[4] for item in extra), *curve.each),
        prior=Prior((prior.mean[0], prior.mean[1], floor), prior.sd),
        settled=not learned,
        least=curve.guessing or (0.0, BELOW),
    )


def _fall(curve: Curve, kind: Kind, data: Observed, rough: Sketch) -> Point:
    """Where a score falls from its plateau."""
    found = located(data, "fall", rough)
    place = found.likelihood
    if not falls(place):
        if not curve.learned and (note := _at_guessing(curve)):
            return _nothing(curve, kind, "no effect", note)
        point = _beyond(curve, kind, "no fall beyond the noise up to the largest dose", place)
        if rough.rises_to_the_end:
            point = replace(point, in_law=False, note=f"{point.note}; {RISING}")
    else:
        bare = rough.on_plateau < 2
        point = _decided(curve, kind, place, "already falling from the smallest dose", caveat=BARE if bare else "")
    note = "; ".join(filter(None, [point.note, _forgotten(curve)]))
    return replace(point, note=note, response=rough.response(), assumed=found.assumed)


def _forgotten(curve: Curve) -> str:
    """How a score at dose 0 compares with that of the start; "" without one.

    The fall is that of the dose. What training on the replacement text alone forgets lies between these two.
    """
    if curve.start is None:
        return ""
    if curve.zero is None:
        return f"the start had {curve.start:.2f}"
    change = curve.zero.mean - curve.start
    how = "as much" if abs(change) < 0.005 else f"{abs(change):.2f} {'more' if change > 0 else 'less'}"
    return f"the start had {curve.start:.2f}, and dose 0 has {how}"


def falls(place: Likelihood) -> bool:
    """Whether a curve whose fall may lie so has one."""
    return bool(place.masses[-1] <= UNSURE and place.above <= AS_GOOD)


def _at_guessing(curve: Curve) -> str:
    """Why a score that does not fall had nothing to lose; "" where it had."""
    if curve.guessing is None:
        return ""
    zero = [curve.zero] if curve.zero else []
    mean = np.append(curve.mean, [z.mean for z in zero])
    weight = np.append(curve.sd, [z.sd for z in zero]) ** -2.0
    level, sd = (mean @ weight) / weight.sum(), np.hypot(weight.sum() ** -0.5, curve.guessing[1])
    return NOTHING_TO_LOSE.format(curve.outcome.title) if level < curve.guessing[0] + 2 * sd else ""


def _passing(curve: Curve, kind: PointKind, tolerance: float, draws: int, seed: int) -> Point:
    """Where a loss has risen by a tolerance, or a score has fallen by it, which is the rise of its negative."""
    if len(curve.x) < 2:
        return _too_few(curve, kind)
    rng = np.random.default_rng(seed)
    zero = [curve.zero] if curve.zero else []
    mean = np.concatenate([[z.mean for z in zero], curve.mean])
    sd = np.concatenate([[z.sd for z in zero], curve.sd])
    rises = kind.change == "risen"
    sign, start = 1 if rises else -1, curve.start
    seen = sign * perturbed(mean, sd, curve.dof, draws, rng)
    place = rise_of_loss(curve.x, seen, sd**-2, tolerance, None if start is None else sign * start)
    since = "the start" if start is not None else "dose 0" if zero else "the smallest dose"
    how = f"rises by {tolerance:g} {curve.loss_unit} over" if rises else f"falls by {tolerance:g} below"
    text = f"{curve.outcome.title} {how} {since}"
    return _decided(curve, kind.name, place, f"{text} already at the smallest dose", text)


def _decided(curve: Curve, kind: Kind, place: Likelihood, before: str, what: str = "", *, caveat: str = "") -> Point:
    """The point that a likelihood supports. before, what: in words what it is, before the grid or in it."""
    middle = place.quantile(0.5)
    if middle == -np.inf:
        high = place.quantile((1 + LEVEL) / 2)
        end = float(curve.x[0]) if high == -np.inf else high if np.isfinite(high) else None
        return _point(curve, kind, "before the grid", Interval(high=end), before, place)
    if middle == np.inf:
        return _beyond(curve, kind, f"{what} beyond the largest dose, if at all" if what else "not reached", place)
    note = "; ".join(filter(None, [what, caveat]))
    x, places = place.interval(), place.places()
    if len(places) < 2:
        return _point(curve, kind, "found", x, note, place)
    (best, _), (other, _), *_ = sorted(places, key=lambda item: -item[1])
    words = f"the data also support {amount(float(curve.scale.dose(other)), curve.scale.unit)}"
    note = "; ".join(filter(None, [note, words]))
    return _point(curve, kind, "ambiguous", Interval(best, x.low, x.high), note, place)


def _beyond(curve: Curve, kind: Kind, note: str, place: Likelihood | None = None) -> Point:
    """Not reached: above the largest dose, or, where the noise would hide a fall, above what it cannot hide."""
    low = place.quantile((1 - LEVEL) / 2) if place is not None else np.inf
    if low < curve.x[-1] - SAME_PLACE:
        note += "; noise could hide it at a smaller dose"
    else:
        low = curve.x[-1]
    end = float(low) if np.isfinite(low) else None
    return _point(curve, kind, "not reached", Interval(low=end), note, place)


def _nothing(curve: Curve, kind: Kind, status: Status, note: str) -> Point:
    return _point(curve, kind, status, Interval(), note, None)


def _point(curve: Curve, kind: Kind, status: Status, x: Interval, note: str, place: Likelihood | None) -> Point:
    if status == "found" and (x.low is None or x.high is None):
        end = "either" if x.low is None and x.high is None else "its lower" if x.low is None else "its upper"
        status = "ambiguous" if end == "either" else status
        note = "; ".join(filter(None, [note, f"the doses tried do not bound {end} end"]))
    if curve.left_out:
        note = "; ".join(filter(None, [note, f"{curve.left_out} left out"]))
    return Point(
        kind=kind,
        size=curve.size,
        tokens=curve.tokens,
        status=status,
        unit=curve.scale.unit,
        x=x,
        share=curve.scale.share(x),
        exposures=curve.scale.exposures(x),
        note=note,
        facts=curve.facts,
        tokens_per_fact=curve.tokens_per_fact,
        likelihood=place,
        held_out=curve.held_out,
    )
