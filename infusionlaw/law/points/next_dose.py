"""Which doses of a curve to run next: where two are wanted on the plateau, and where a run tells most of the collapse.

With all shapes that fit the curve so far, weighed by how well they do, c being a shape's collapse and f(x) its recall
at x, the next dose is

    argmax over x of  Cov(c, f(x))^2 / (Var f(x) + noise^2)

what a run at x is expected to take off the variance of c, to first order; the next dose of the same round is chosen
as if the first had been seen.
"""

from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import SAME_DOSE, Array
from infusionlaw.law.likelihood import STEP
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.detect import REACHED, fitted
from infusionlaw.law.points.levels import Observed, bases
from infusionlaw.law.points.shapes import COARSE, FORMS, Edges, falls, rises

# Falls that a round is planned with: every other place the detector looks at, half of its widths.
PLANNED = (2 * STEP, 8)
# So many of the likeliest shapes are kept; a collapse beyond the range counts as one this far (dex) beyond it.
SHAPES, BEYOND = 2000, 0.5


def for_plateau(curve: Curve, data: Observed, x: Array) -> list[int]:
    """A dose to put on the plateau, of those at x (G,), where the likeliest shape has fewer than two there; or none.

    Intervals of curves without two doses on the plateau are less sure than they say.
    """
    found: list[tuple[float, Array]] = []
    for form in FORMS["both"]:
        both = np.concatenate([data.x, x])
        rise, fall = rises(both, form, COARSE, data.retention), falls(both, form, COARSE)
        fit = fitted(data, _first(rise, len(data.x)), _first(fall, len(data.x)))
        i, j = np.unravel_index(fit.log_likelihood.argmax(), fit.log_likelihood.shape)
        found.append((fit.peak, (rise.height[i] > REACHED) & (fall.height[j] > REACHED)))
    _, flat = max(found, key=lambda item: item[0])
    distance = np.abs(x[:, None] - curve.x).min(1)
    left = flat[len(data.x) :] & (distance > SAME_DOSE)
    return [int(np.argmax(np.where(left, distance, 0.0)))] if flat[: len(data.x)].sum() < 2 and left.any() else []


def most_telling(curve: Curve, data: Observed, x: Array, count: int) -> list[int]:
    """Which of the doses at x (G,) the next runs should have: each takes the most off the variance of the collapse."""
    noise = float(np.median(curve.sd**2 * curve.seeds))
    shapes = _shapes(data, x)
    c = np.where(np.isfinite(shapes.knot), shapes.knot, x[-1] + BEYOND)
    means = np.column_stack([c, shapes.value])
    means -= shapes.weight @ means
    moments = means.T @ (shapes.weight[:, None] * means)
    moments[1:, 1:] += np.einsum("n,nlg,nlh->gh", shapes.weight, shapes.spread, shapes.spread, optimize=True)
    found = []
    for _ in range(count):
        total = np.diag(moments)[1:] + noise
        found.append(int(np.argmax(moments[0, 1:] ** 2 / total)))
        column = moments[:, 1 + found[-1]]
        moments = moments - np.outer(column, column) / total[found[-1]]
    return found


@dataclass(frozen=True)
class _Shapes:
    """The likeliest shapes of a curve: weight, knot of the fall (n,), value at G places (n, G) and, for the levels not
    being known, spread (n, 3, G): the covariance of the values is spread' spread."""

    weight: Array
    knot: Array
    value: Array
    spread: Array


def _shapes(data: Observed, x: Array) -> _Shapes:
    parts = []
    for form in FORMS["both"]:
        both = np.concatenate([data.x, x])
        rise, fall = rises(both, form, COARSE, data.retention), falls(both, form, PLANNED)
        fit = fitted(data, _first(rise, len(data.x)), _first(fall, len(data.x)))
        log_w = fit.log_likelihood + np.log(rise.weight)[:, None] + np.log(fall.weight)
        at = np.unravel_index(np.argsort(-log_w, axis=None)[:SHAPES], log_w.shape)
        basis = np.stack(bases(rise.height[at[0], len(data.x) :], fall.height[at[1], len(data.x) :]), axis=1)
        parts.append((log_w[at], fall.knot[at[1]], fit.levels.take(at), basis))
    log_w, knot, basis = (np.concatenate([part[i] for part in parts]) for i in (0, 1, 3))
    mean = np.concatenate([part[2].mean for part in parts], axis=1)
    factor = np.concatenate([part[2].factor for part in parts], axis=1)
    weight = np.exp(log_w - log_w.max())
    value = np.einsum("ln,nlg->ng", mean, basis)
    return _Shapes(weight / weight.sum(), knot, value, np.asarray(np.linalg.solve(_lower(factor), basis)))


def _first(edges: Edges, count: int) -> Edges:
    return Edges(edges.knot, edges.width, edges.weight, edges.height[:, :count])


def _lower(factor: Array) -> Array:
    """Cholesky factors (6, n) as matrices (n, 3, 3)."""
    matrix = np.zeros((factor.shape[1], 3, 3))
    matrix[:, [0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]] = factor.T
    return matrix
