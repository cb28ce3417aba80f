"""The curve behind a point, for a figure: the shape that fits best with its knot where the point is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.points.curves import Curve, curves
from infusionlaw.law.points.detect import fitted
from infusionlaw.law.points.find import SCORES, observed
from infusionlaw.law.points.point import Point
from infusionlaw.law.points.shapes import COARSE, FORMS, NEVER, Edges, falls, rises
from infusionlaw.law.points.tolerance import isotonic
from infusionlaw.records import RunRecord


@dataclass(frozen=True)
class Line:
    """A line to draw: dose (n,) in `unit`, value (n,)."""

    unit: str
    dose: Array
    value: Array


def fitted_line(rows: Sequence[RunRecord], point: Point, steps: int = 200) -> Line | None:
    """The curve behind a point, over the doses of its (N, D).

    Of the shapes whose knot lies nearest the point's value the best is drawn; for general loss, the monotone means.
    None when the rows hold no curve for the point, or fewer than two doses.
    """
    score = SCORES[point.kind]
    place = (point.size, point.tokens, point.facts)
    match = [c for c in curves(rows, score) if (c.size, c.tokens, c.facts) == place and len(c.x) > 1]
    if not match:
        return None
    curve = match[0]
    x = np.linspace(curve.x[0], curve.x[-1], steps)
    value = _monotone(curve, x) if score == "general_loss" else _shape(curve, point, x)
    return Line(curve.scale.unit, curve.scale.dose(x), value)


def _monotone(curve: Curve, x: Array) -> Array:
    return np.asarray(np.interp(x, curve.x, isotonic(curve.mean[None], curve.sd**-2)[0]))


def _shape(curve: Curve, point: Point, x: Array) -> Array:
    data = observed(curve)
    best: tuple[float, Array] = (-np.inf, np.empty(0))
    for form in FORMS["both"]:
        rise, fall = rises(data.x, form, COARSE, data.retention), falls(data.x, form, COARSE)
        fit = fitted(data, rise, fall)
        near = _near(rise, point)[:, None] if point.kind == "acquisition" else _near(fall, point)
        log_l = np.where(near, fit.log_likelihood, -np.inf)
        i, j = np.unravel_index(log_l.argmax(), log_l.shape)
        if log_l[i, j] > best[0]:
            up = rises(np.append(data.x, x), form, COARSE, data.retention)
            down = falls(np.append(data.x, x), form, COARSE)
            first, plateau, floor = fit.levels.mean[:, i, j]
            r, f = up.height[i, len(data.x) :], down.height[j, len(data.x) :]
            best = (float(log_l[i, j]), first * (1 - r) + plateau * r * f + floor * r * (1 - f))
    return best[1]


def _near(edges: Edges, point: Point) -> Array:
    """Which rises or falls have their knot at the point: (K,)."""
    if point.x.value is None:
        return np.asarray(edges.knot == NEVER) if point.status == "not reached" else np.isfinite(edges.knot)
    distance = np.abs(edges.knot - point.x.value)
    return np.asarray(distance <= np.min(distance[np.isfinite(distance)]) + 1e-9)
