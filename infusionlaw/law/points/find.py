"""From curves to points: acquisition, collapse of recall and of retention, tolerance of general loss.

Whether recall or retention rises or falls at all is a likelihood-ratio test against the best shape without a rise or a
fall, its null distribution simulated with the noise present. Where it does is the likelihood over all shapes that fit
(`detect`), by either detector or by both; the default is both, each as likely as the other at the outset. The
likelihood decides the status: most of it below the smallest dose is `before the grid`, most above the largest `not
reached`, two places apart `ambiguous`.

General loss only rises: `tolerance` has its own detector.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from infusionlaw.errors import InputError, nearest
from infusionlaw.law.dose import LEVEL, Array, Interval
from infusionlaw.law.likelihood import Likelihood
from infusionlaw.law.points.curves import Curve, Score, curves
from infusionlaw.law.points.detect import Fitted, locate, response, rises_to_the_end, sketch
from infusionlaw.law.points.levels import Observed
from infusionlaw.law.points.point import KINDS, Kind, Point, Status
from infusionlaw.law.points.shapes import Detector
from infusionlaw.law.points.significance import NULL_DRAWS, p_value
from infusionlaw.law.points.tolerance import rise_of_loss
from infusionlaw.law.uncertainty import perturbed
from infusionlaw.records import RunRecord

Acquisition = Literal["onset", "half"]
SIGNIFICANCE = 0.05
BARE = "fewer than two doses lie on the plateau before it, so its interval is less sure than it says; add doses there"
RISING = "it rises up to the largest doses, and a collapse before that would not show, so no law counts it"
SAME_PLACE = 0.1  # dex; a bound this near the largest dose is the largest dose
SCORES: dict[Kind, Score] = {
    "acquisition": "recall",
    "collapse": "recall",
    "retention": "retention",
    "tolerance": "general_loss",
}


def find_points(
    rows: Sequence[RunRecord],
    *,
    tolerance: float = 0.05,
    detector: Detector = "both",
    acquisition: Acquisition = "onset",
    draws: int = 1000,
    seed: int = 0,
    only_held_out: bool = False,
) -> list[Point]:
    """All points of a table, by kind, size, budget and facts; a kind whose score was not measured has none.

    tolerance: rise of general loss over its dose-0 value, bits per byte; detector: the shapes recall and retention are
    fitted with; acquisition: where on the rise of recall its point is taken, where recall leaves guessing (`onset`) or
    `half` way up to the plateau; draws: bootstrap draws of general loss; only_held_out: leave out the points of runs
    that are not held out, which are those of the table without the held-out runs. Deterministic in `seed`, and no curve
    depends on how many others there are, but for the noise between seeds, which all share. Raises InputError when the
    rows share no unit, or for an option that is none of these.
    """
    for name, value, known in (("detector", detector, Detector), ("acquisition", acquisition, Acquisition)):
        if value not in get_args(known):
            raise InputError(f'{name} is "{value}"; {nearest(value, get_args(known))}')
    if not 0 < tolerance < np.inf:
        raise InputError(f"the tolerance is {tolerance:g}, which must be a rise of general loss above 0, bits per byte")
    found: list[Point] = []
    for number, score in enumerate(get_args(Score)):
        for curve in curves(rows, score):
            if only_held_out and not curve.held_out:
                continue
            rng = np.random.default_rng([seed, number, int(curve.size), int(curve.tokens), int(curve.facts or 0)])
            found += _points(curve, tolerance, detector, acquisition, draws, rng)
    levels = {"acquisition": 0.5 if acquisition == "half" else 0.0, "tolerance": tolerance}
    return in_order([replace(point, level=levels.get(point.kind)) for point in found])


def in_order(points: Sequence[Point]) -> list[Point]:
    """Points by kind, size, budget and facts, those of held-out runs last."""
    return sorted(points, key=lambda p: (KINDS.index(p.kind), p.size, p.tokens, p.facts or 0, p.held_out))


def _points(
    curve: Curve,
    tolerance: float,
    detector: Detector,
    acquisition: Acquisition,
    draws: int,
    rng: np.random.Generator,
) -> list[Point]:
    if len(curve.x) < 2:
        kinds = [kind for kind, score in SCORES.items() if score == curve.score]
        bare = curve.left_out and not len(curve.x) and not curve.zero
        few = f"there is nothing but {curve.left_out}" if bare else "fewer than two doses above 0 were measured"
        return [_nothing(curve, kind, "ambiguous", f"{few}, so nothing can be located") for kind in kinds]
    if curve.score == "general_loss":
        return [_tolerance(curve, tolerance, draws, rng)]
    data = observed(curve)
    noise = perturbed(np.zeros(len(data.y)), data.sd, curve.dof, NULL_DRAWS, rng)
    if curve.score == "retention":
        return [_retention(curve, data, detector, noise, rng)]
    if p_value(data, "rise", noise, rng) > SIGNIFICANCE:
        note = "recall never leaves guessing: nothing was ever learned"
        return [_beyond(curve, "acquisition", note), _nothing(curve, "collapse", "no effect", note)]
    rough = sketch(data, detector)
    rise = _rise(curve, data, detector, acquisition, rough)
    return [rise, _fall(curve, "collapse", data, detector, rough, p_value(data, "fall", noise, rng))]


def observed(curve: Curve) -> Observed:
    """A curve as the detectors see it: its means, dose 0, and for recall the guessing level as an observation."""
    extra = [curve.zero] if curve.zero else []
    if curve.score == "recall":
        extra.append(curve.guessing)
    y = np.concatenate([[value for value, _ in extra], curve.mean])
    sd = np.concatenate([[sd for _, sd in extra], curve.sd])
    x = np.concatenate([np.full(len(extra), -np.inf), curve.x])
    return Observed(x, y, sd, curve.dof, curve.guessing[0], curve.score == "retention")


def _rise(curve: Curve, data: Observed, detector: Detector, acquisition: Acquisition, rough: Sequence[Fitted]) -> Point:
    """The acquisition point of a curve that rises."""
    if acquisition == "half":
        note = "half way from guessing to the plateau"
        place = locate(data, detector, "half", rough)
        return _decided(curve, "acquisition", place, f"{note} before the smallest dose", note)
    place = locate(data, detector, "rise", rough)
    return _decided(curve, "acquisition", place, "already above guessing at the smallest dose")


def _retention(curve: Curve, data: Observed, detector: Detector, noise: Array, rng: np.random.Generator) -> Point:
    level, sd = curve.guessing
    width = np.hypot(data.sd, sd)
    chi2, null = (((data.y - level) / width) ** 2).sum(), ((noise / data.sd) ** 2).sum(1)
    if np.mean(null >= chi2) > SIGNIFICANCE:
        return _nothing(curve, "retention", "no effect", "retention never leaves guessing: there was nothing to lose")
    return _fall(curve, "retention", data, detector, sketch(data, detector), p_value(data, "fall", noise, rng))


def _fall(
    curve: Curve, kind: Kind, data: Observed, detector: Detector, rough: Sequence[Fitted], by_noise: float
) -> Point:
    """The collapse of recall or of retention; by_noise: how often noise alone makes such a fall."""
    place = locate(data, detector, "fall", rough)
    if by_noise > SIGNIFICANCE:
        point = _beyond(curve, kind, "no fall beyond the noise up to the largest dose", place)
        if rises_to_the_end(rough):
            point = replace(point, in_law=False, note=f"{point.note}; {RISING}")
    else:
        bare = max(rough, key=lambda fit: fit.peak).on_plateau < 2
        point = _decided(curve, kind, place, "already falling from the smallest dose", caveat=BARE if bare else "")
    return replace(point, response=response(rough))


def _tolerance(curve: Curve, tolerance: float, draws: int, rng: np.random.Generator) -> Point:
    zero = [curve.zero] if curve.zero else []
    mean = np.concatenate([[value for value, _ in zero], curve.mean])
    sd = np.concatenate([[sd for _, sd in zero], curve.sd])
    place = rise_of_loss(curve.x, perturbed(mean, sd, curve.dof, draws, rng), sd**-2, tolerance)
    since = f"general loss rises by {tolerance:g} bits per byte over " + ("dose 0" if zero else "the smallest dose")
    return _decided(curve, "tolerance", place, f"{since} already at the smallest dose", since)


def _decided(curve: Curve, kind: Kind, place: Likelihood, before: str, what: str = "", *, caveat: str = "") -> Point:
    """The point that a likelihood supports. before, what: in words what it is, before the grid or in it."""
    middle = place.quantile(0.5)
    if middle == -np.inf:
        high = place.quantile((1 + LEVEL) / 2)
        end = float(curve.x[0]) if high == -np.inf else high if np.isfinite(high) else None
        return _point(curve, kind, "before the grid", Interval(high=end), before, place)
    if middle == np.inf:
        return _beyond(curve, kind, f"{what}, but not up to the largest dose" if what else "not reached", place)
    note = "; ".join(filter(None, [what, caveat]))
    x, places = place.interval(), place.places()
    if len(places) < 2:
        return _point(curve, kind, "found", x, note, place)
    (best, _), (other, _), *_ = sorted(places, key=lambda item: -item[1])
    words = f"the data also support a {curve.scale.unit} of {float(curve.scale.dose(other)):.3g}"
    note = "; ".join(filter(None, [note, words]))
    return _point(curve, kind, "ambiguous", Interval(best, x.low, x.high), note, place)


def _beyond(curve: Curve, kind: Kind, note: str, place: Likelihood | None = None) -> Point:
    """Not reached: above the largest dose, or, where the noise would hide a fall, above what it cannot hide."""
    low = place.quantile((1 - LEVEL) / 2) if place is not None else np.inf
    if low < curve.x[-1] - SAME_PLACE:
        note += ", which could hide one"
    else:
        low = curve.x[-1]
    end = float(low) if np.isfinite(low) else None
    return _point(curve, kind, "not reached", Interval(low=end), note, place)


def _nothing(curve: Curve, kind: Kind, status: Status, note: str) -> Point:
    return _point(curve, kind, status, Interval(), note, None)


def _point(curve: Curve, kind: Kind, status: Status, x: Interval, note: str, place: Likelihood | None) -> Point:
    if status == "found" and (x.low is None or x.high is None):
        end = "either" if x.low is None and x.high is None else "its lower" if x.low is None else "its upper"
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
