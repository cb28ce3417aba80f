"""The curve behind a point, for a figure: the shape that fits best with its knot where the point is."""

from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.find import observed
from infusionlaw.law.points.fitting import sketch
from infusionlaw.law.points.levels import Noise, bases
from infusionlaw.law.points.point import Point
from infusionlaw.law.points.shapes import FORMS, NEVER, Edges
from infusionlaw.law.points.tolerance import isotonic
from infusionlaw.runs.outcomes import kind_named


@dataclass(frozen=True)
class Line:
    """A line to draw: dose (n,) in `unit`, value (n,)."""

    unit: str
    dose: Array
    value: Array


def fitted_line(curve: Curve, point: Point, steps: int = 200) -> Line | None:
    """Return the line to draw through a curve for one of its points, over its doses; None with fewer than two.

    Of the shapes whose knot lies nearest the point's value the best is drawn; for validation loss, the monotone means.
    """
    if len(curve.x) < 2:
        return None
    x = np.linspace(curve.x[0], curve.x[-1], steps)
    value = _monotone(curve, x) if curve.outcome.scale == "bits per byte" else _shape(curve, point, x)
    return Line(curve.scale.unit, curve.scale.dose(x), value)


def _monotone(curve: Curve, x: Array) -> Array:
    return np.asarray(np.interp(x, curve.x, isotonic(curve.mean[None], curve.sd**-2)[0]))


def _shape(curve: Curve, point: Point, x: Array) -> Array:
    best: tuple[float, Array] = (-np.inf, np.full(len(x), curve.mean.mean()))
    data = observed(curve)
    for form in FORMS["all"]:
        fit = sketch(data, form, NOISE)
        near = (
            _near(fit.rises, point)[:, None] if kind_named(point.kind).change == "learned" else _near(fit.falls, point)
        )
        log_l = np.where(near, fit.log_likelihood, -np.inf)
        i, j = np.unravel_index([log_l.argmax()], log_l.shape)
        if log_l[i, j][0] > best[0]:
            rise, fall = fit.rises.take(i), fit.falls.take(j)
            basis = np.concatenate(bases(rise.at(x, fit.form, "rise"), fall.at(x, fit.form, "fall")))
            best = (float(log_l[i, j][0]), fit.levels((i, j)).mean[:, 0] @ basis)
    return best[1]


def _near(edges: Edges, point: Point) -> Array:
    """Which rises or falls have their knot at the point: (K,)."""
    if point.x.value is None or not np.isfinite(edges.knot).any():
        return np.asarray(edges.knot == NEVER) if point.status == "not reached" else np.isfinite(edges.knot)
    distance = np.abs(edges.knot - point.x.value)
    return np.asarray(distance <= max(np.min(distance[np.isfinite(distance)]) + 1e-9, CLOSE))


CLOSE = 0.02  # dex; a knot this near to a point is at it
NOISE = Noise(0.012, 0.0)  # of the means that a line goes through: small, so that it follows them
