"""The curve behind a point, for a figure: the shape that fits best with its knot where the point is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.points.curves import Curve, curves
from infusionlaw.law.points.detect import sketches
from infusionlaw.law.points.find import observed, with_pools
from infusionlaw.law.points.levels import bases
from infusionlaw.law.points.point import Point
from infusionlaw.law.points.pooling import Pool
from infusionlaw.law.points.shapes import NEVER, Edges
from infusionlaw.law.points.tolerance import isotonic
from infusionlaw.runs.outcomes import kind_named, outcome_of
from infusionlaw.runs.record import RunRecord


@dataclass(frozen=True)
class Line:
    """A line to draw: dose (n,) in `unit`, value (n,)."""

    unit: str
    dose: Array
    value: Array


def fitted_line(rows: Sequence[RunRecord], point: Point, steps: int = 200) -> Line | None:
    """The curve behind a point, over the doses of its (N, D).

    Of the shapes whose knot lies nearest the point's value the best is drawn; for validation loss, the monotone means.
    None when the rows hold no curve for the point, or fewer than two doses.
    """
    outcome = outcome_of(point.kind)
    place = (point.size, point.tokens, point.facts)
    if outcome.scale == "bits per byte":
        curve = next((c for c in curves(rows, outcome) if _is_at(c, place)), None)
        return None if curve is None else _line(curve, _monotone(curve, _doses(curve, steps)), steps)
    for curve, pool in with_pools(tuple(rows), outcome):
        if _is_at(curve, place):
            return _line(curve, _shape(curve, pool, point, _doses(curve, steps)), steps)
    return None


def _is_at(curve: Curve, place: tuple[float, float, float | None]) -> bool:
    return (curve.size, curve.tokens, curve.facts) == place and len(curve.x) > 1


def _doses(curve: Curve, steps: int) -> Array:
    return np.linspace(curve.x[0], curve.x[-1], steps)


def _line(curve: Curve, value: Array, steps: int) -> Line:
    return Line(curve.scale.unit, curve.scale.dose(_doses(curve, steps)), value)


def _monotone(curve: Curve, x: Array) -> Array:
    return np.asarray(np.interp(x, curve.x, isotonic(curve.mean[None], curve.sd**-2)[0]))


def _shape(curve: Curve, pool: Pool, point: Point, x: Array) -> Array:
    best: tuple[float, Array] = (-np.inf, np.full(len(x), curve.mean.mean()))
    for _, _, fit in sketches(pool.seen_by(observed(curve)), pool).parts:
        near = (
            _near(fit.rises, point)[:, None] if kind_named(point.kind).change == "learned" else _near(fit.falls, point)
        )
        log_l = np.where(near, fit.log_likelihood, -np.inf)
        i, j = np.unravel_index([log_l.argmax()], log_l.shape)
        if log_l[i, j][0] > best[0]:
            rise, fall = fit.rises.take(i), fit.falls.take(j)
            basis = np.concatenate(bases(rise.at(x, fit.form, "rise"), fall.at(x, fit.form, "fall")))
            best = (float(log_l[i, j][0]), fit.levels.take((i, j)).mean[:, 0] @ basis)
    return best[1]


def _near(edges: Edges, point: Point) -> Array:
    """Which rises or falls have their knot at the point: (K,)."""
    if point.x.value is None or not np.isfinite(edges.knot).any():
        return np.asarray(edges.knot == NEVER) if point.status == "not reached" else np.isfinite(edges.knot)
    distance = np.abs(edges.knot - point.x.value)
    return np.asarray(distance <= max(np.min(distance[np.isfinite(distance)]) + 1e-9, CLOSE))


CLOSE = 0.02  # dex; a knot this near to a point is at it
