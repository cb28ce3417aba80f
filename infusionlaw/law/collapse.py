"""From curves to points: acquisition, collapse of recall and of retention, tolerance of general loss.

Recall and retention are fitted with a trapezoid (`trapezoid`): the collapse point is its hinge, in the dose coordinate,
where the plateau ends and a straight fall begins. Whether there is a rise or a fall at all is a likelihood-ratio test
against the best shape without one, its null distribution simulated with the noise present. Then each bootstrap draw is
refitted, and the draws decide: most of them below the smallest dose is `before the grid`, most above the largest is
`not reached`, more than one cluster is `ambiguous`.

General loss only rises: it is made monotone (isotonic means), and the tolerance point is where the line between the
means passes the value at dose 0 plus the tolerance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from infusionlaw.law.curves import Curve, Score, curves
from infusionlaw.law.dose import Array, Interval
from infusionlaw.law.points import KINDS, Kind, Point, Status
from infusionlaw.law.trapezoid import LATER, ZERO, Mask, Problem, bases, candidates, draw_knots, p_value, problem, solve
from infusionlaw.law.uncertainty import clusters, interval_of, perturbed
from infusionlaw.records import RunRecord

SIGNIFICANCE = 0.05
NULL_DRAWS = 200
SCORES: dict[Kind, Score] = {
    "acquisition": "recall",
    "collapse": "recall",
    "retention": "retention",
    "tolerance": "general_loss",
}
# Clusters of draws this far apart (dex), each with this share of the draws, are two places and not one wide one.
CLUSTER_GAP, CLUSTER_SHARE = 0.25, 0.15


def find_points(rows: Sequence[RunRecord], *, tolerance: float = 0.05, draws: int = 400, seed: int = 0) -> list[Point]:
    """All points of a table, by kind, size and budget; a kind whose score was not measured has none.

    tolerance: rise of general loss over its dose-0 value, bits per byte; draws: bootstrap draws; deterministic in
    `seed`, and a curve's draws do not depend on the other curves. Raises InputError when the rows share no dose unit.
    """
    found: list[Point] = []
    for number, score in enumerate(get_args(Score)):
        for curve in curves(rows, score):
            rng = np.random.default_rng([seed, number, int(curve.size), int(curve.tokens)])
            found += _points(curve, tolerance, draws, rng)
    return sorted(found, key=lambda point: (KINDS.index(point.kind), point.size, point.tokens))


def _points(curve: Curve, tolerance: float, draws: int, rng: np.random.Generator) -> list[Point]:
    if len(curve.x) < 2:
        kinds = [kind for kind, score in SCORES.items() if score == curve.score]
        few = (
            "every run diverged"
            if curve.diverged and not len(curve.x)
            else "fewer than two doses above 0 were measured"
        )
        note = f"{few}, so nothing can be located"
        return [_point(curve, kind, "ambiguous", Interval(), note, np.array([])) for kind in kinds]
    if curve.score == "general_loss":
        return [_tolerance(curve, tolerance, draws, rng)]
    return _recall_points(curve, draws, rng)


def _task(curve: Curve) -> Problem:
    """The trapezoid problem of a curve: its means, dose 0, and for recall the guessing level as an observation.

    Retention is counted from the guessing level, which it falls towards.
    """
    retention = curve.score == "retention"
    extra = [curve.zero] if curve.zero else []
    if not retention:
        extra.append(curve.guessing)
    y = np.concatenate([[value for value, _ in extra], curve.mean])
    sd = np.concatenate([[sd for _, sd in extra], curve.sd])
    x = np.concatenate([np.full(len(extra), ZERO), curve.x])
    return problem(x, y - _floor(curve), sd, candidates(curve.x, retention), retention)


def _floor(curve: Curve) -> float:
    return curve.guessing[0] if curve.score == "retention" else 0.0


def _recall_points(curve: Curve, draws: int, rng: np.random.Generator) -> list[Point]:
    """Acquisition and collapse of a recall curve, or the collapse of a retention curve."""
    task, retention = _task(curve), curve.score == "retention"
    noise = perturbed(np.zeros(len(task.y)), task.sd, curve.dof, NULL_DRAWS, rng)
    if not retention and p_value(task, lambda knots: knots.never_rise, noise, rng) > SIGNIFICANCE:
        note = "recall never leaves guessing: nothing was ever learned"
        nowhere = _point(curve, "collapse", "ambiguous", Interval(), note, np.array([]))  # no bound on the collapse
        return [_beyond(curve, "acquisition", note, draws), nowhere]
    knots = draw_knots(task, perturbed(task.y, task.sd, curve.dof, draws, rng), rng)
    points = []
    if not retention:
        rise = _on_grid(knots.a, knots.never_rise, curve.x)
        points.append(_decided(curve, "acquisition", rise, "already above guessing at the smallest dose"))
    kind: Kind = "retention" if retention else "collapse"
    if p_value(task, lambda knots: knots.never_fall, noise, rng) > SIGNIFICANCE:
        return [*points, _beyond(curve, kind, "no fall beyond the noise up to the largest dose", draws)]
    fall = _on_grid(knots.c, knots.never_fall, curve.x)
    return [*points, _decided(curve, kind, fall, "already falling from the smallest dose")]


def _on_grid(knot: Array, never: Mask, x: Array) -> Array:
    """Draws of a knot: -inf where it lies before the first dose, inf where there is none."""
    return np.where(knot <= x[0], -np.inf, np.where(never, np.inf, np.minimum(knot, x[-1])))


def _tolerance(curve: Curve, tolerance: float, draws: int, rng: np.random.Generator) -> Point:
    """Where general loss, made monotone, passes its dose-0 value plus `tolerance`; without dose 0, its first value."""
    zero = [curve.zero] if curve.zero else []
    mean = np.concatenate([[value for value, _ in zero], curve.mean])
    sd = np.concatenate([[sd for _, sd in zero], curve.sd])
    loss = isotonic(perturbed(mean, sd, curve.dof, draws, rng), sd**-2)
    x = np.array([_crossing(curve.x, row[len(zero) :], row[0] + tolerance) for row in loss])
    since = f"general loss rises by {tolerance:g} bits per byte over " + ("dose 0" if zero else "the smallest dose")
    return _decided(curve, "tolerance", x, f"{since} already at the smallest dose", since)


def isotonic(y: Array, weight: Array) -> Array:
    """Weighted least-squares non-decreasing fit of each row of y (M, J): max over i of min over k of means i..k."""
    count = y.shape[1]
    totals = np.concatenate([np.zeros((len(y), 1)), (y * weight).cumsum(1)], axis=1)
    weights = np.concatenate([[0.0], weight.cumsum()])
    out = np.empty_like(y)
    for j in range(count):
        means = [
            np.min([(totals[:, k + 1] - totals[:, i]) / (weights[k + 1] - weights[i]) for k in range(j, count)], axis=0)
            for i in range(j + 1)
        ]
        out[:, j] = np.max(means, axis=0)
    return out


def _crossing(x: Array, loss: Array, limit: float) -> float:
    """Where the line through non-decreasing `loss` passes `limit`; -inf before the first dose, inf after the last."""
    if loss[0] >= limit:
        return -np.inf
    if loss[-1] < limit:
        return np.inf
    j = int(np.argmax(loss >= limit))
    return float(x[j - 1] + (x[j] - x[j - 1]) * (limit - loss[j - 1]) / (loss[j] - loss[j - 1]))


def _decided(curve: Curve, kind: Kind, draws: Array, before: str, note: str = "") -> Point:
    """The point that the draws of x support."""
    if np.mean(draws == -np.inf) >= 0.5:
        return _point(curve, kind, "before the grid", Interval(high=float(curve.x[0])), before, draws)
    if np.mean(draws == np.inf) >= 0.5:
        beyond = note + ", but not up to the largest dose" if note else "not reached up to the largest dose"
        return _beyond(curve, kind, beyond, len(draws))
    places, x = clusters(draws, CLUSTER_GAP, CLUSTER_SHARE), interval_of(draws)
    if len(places) < 2:
        return _point(curve, kind, "found", x, note, draws)
    places = sorted(places, key=len, reverse=True)
    others = " and ".join(f"{curve.scale.dose(np.median(place)):.3g}" for place in places[1:])
    words = f"the data also support a {curve.scale.unit} of {others}"
    best = Interval(float(np.median(places[0])), x.low, x.high)
    return _point(curve, kind, "ambiguous", best, "; ".join(filter(None, [note, words])), draws)


def _beyond(curve: Curve, kind: Kind, note: str, draws: int) -> Point:
    return _point(curve, kind, "not reached", Interval(low=float(curve.x[-1])), note, np.full(draws, np.inf))


def _point(curve: Curve, kind: Kind, status: Status, x: Interval, note: str, draws: Array) -> Point:
    if status == "found" and (x.low is None or x.high is None):
        end = "lower" if x.low is None else "upper"
        note = "; ".join(filter(None, [note, f"the doses tried do not bound its {end} end"]))
    if curve.diverged:
        note = "; ".join(filter(None, [note, f"{curve.diverged} diverged runs left out"]))
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
        draws=tuple(np.round(draws, 4).tolist()),
    )


@dataclass(frozen=True)
class Line:
    """A line to draw: dose (n,) in `unit`, value (n,)."""

    unit: str
    dose: Array
    value: Array


def fitted_line(rows: Sequence[RunRecord], point: Point, steps: int = 200) -> Line | None:
    """The curve behind a point, over the doses of its (N, D): the trapezoid, or the monotone line of general loss.

    Among shapes that fit nearly best, the one whose knot lies nearest the point's value is drawn. None when the rows
    hold no curve for the point, or fewer than two doses.
    """
    score = SCORES[point.kind]
    match = [c for c in curves(rows, score) if (c.size, c.tokens) == (point.size, point.tokens) and len(c.x) > 1]
    if not match:
        return None
    curve = match[0]
    x = np.linspace(curve.x[0], curve.x[-1], steps)
    value = _monotone(curve, x) if score == "general_loss" else _trapezoid(curve, point, x)
    return Line(curve.scale.unit, curve.scale.dose(x), value)


def _monotone(curve: Curve, x: Array) -> Array:
    return np.asarray(np.interp(x, curve.x, isotonic(curve.mean[None], curve.sd**-2)[0]))


def _trapezoid(curve: Curve, point: Point, x: Array) -> Array:
    task = _task(curve)
    chi2, lower, upper = (part[:, 0] for part in solve(task, task.y[None]))
    knot = task.knots.a if point.kind == "acquisition" else task.knots.c
    near = np.flatnonzero(chi2 <= chi2.min() + 0.5)
    wanted = LATER if point.x.value is None and point.status == "not reached" else point.x.value
    best = int(near[np.argmin(np.abs(knot[near] - wanted))]) if wanted is not None else int(np.argmin(chi2))
    low, up = bases(task.knots.take(np.array([best])), x, curve.score == "retention")
    return np.asarray(_floor(curve) + low[0] * lower[best] + up[0] * upper[best])
