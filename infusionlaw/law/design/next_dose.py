"""Which doses of a curve to run next: where two are wanted on the plateau, and where a run tells most of the collapse.

With all shapes that fit the curve so far, weighed by how well they do, c being a shape's collapse and f(x) its recall
at x, the next dose is

    argmax over x of  Cov(c, f(x))^2 / (Var f(x) + noise^2)

what a run at x is expected to take off the variance of c, to first order; the next dose of the same round is chosen
as if the first had been seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import SAME_DOSE, Array
from infusionlaw.law.points.curves import Curve
from infusionlaw.law.points.detect import REACHED, Sketch
from infusionlaw.law.points.levels import bases

# So many of the likeliest shapes are kept; a collapse beyond the range counts as one this far (dex) beyond it.
SHAPES, RANGE_BEYOND = 2000, 0.5
Mask = NDArray[np.bool_]


def for_plateau(curve: Curve, sketch: Sketch, x: Array) -> list[int]:
    """A dose to put on the plateau, of those at x (G,), where the likeliest shape has fewer than two there; or none.

    Intervals of curves without two doses on the plateau are less sure than they say.
    """
    fit = sketch.best
    i, j = np.unravel_index(fit.log_likelihood.argmax(), fit.log_likelihood.shape)
    rise, fall = fit.rises.take(np.array([i])), fit.falls.take(np.array([j]))

    def flat(at: Array) -> Mask:
        up, down = rise.at(at, fit.form, "rise")[0], fall.at(at, fit.form, "fall")[0]
        return np.asarray((up > REACHED) & (down > REACHED))

    distance = np.abs(x[:, None] - curve.x).min(1)
    left = flat(x) & (distance > SAME_DOSE)
    return [int(np.argmax(np.where(left, distance, 0.0)))] if flat(curve.x).sum() < 2 and left.any() else []


@dataclass(frozen=True)
class Telling:
    """What runs at the doses at x (G,) are expected to tell of where a curve falls.

    chosen: which doses the next runs should have, each the one that takes the most off the variance, as if those before
    it had been seen; sd: the deviation of the fall in dex, now and after each of them; gain (G,): the part of the
    variance that the first run would take off at each dose.
    """

    chosen: tuple[int, ...]
    sd: tuple[float, ...]
    gain: Array


def most_telling(curve: Curve, sketch: Sketch, x: Array, count: int) -> Telling:
    """What runs at the doses at x (G,) tell, and which the next `count` should be."""
    noise = float(np.median(curve.sd**2 * curve.seeds))
    fit = shapes(sketch, x)
    c = np.where(np.isfinite(fit.knot), fit.knot, x[-1] + RANGE_BEYOND)
    means = np.column_stack([c, fit.value])
    means -= fit.weight @ means
    moments = means.T @ (fit.weight[:, None] * means)
    moments[1:, 1:] += np.einsum("n,nlg,nlh->gh", fit.weight, fit.spread, fit.spread, optimize=True)
    found: list[int] = []
    sd, gain = [float(np.sqrt(moments[0, 0]))], np.zeros(len(x))
    for _ in range(count):
        total = np.diag(moments)[1:] + noise
        off = moments[0, 1:] ** 2 / total
        gain = gain if found else off / max(float(moments[0, 0]), 1e-12)
        found.append(int(np.argmax(off)))
        column = moments[:, 1 + found[-1]]
        moments = moments - np.outer(column, column) / total[found[-1]]
        sd.append(float(np.sqrt(max(moments[0, 0], 0.0))))
    return Telling(tuple(found), tuple(sd), gain)


@dataclass(frozen=True)
class Shapes:
    """The likeliest shapes of a curve: weight, knots of rise and fall (n,), value at G places (n, G) and, for the
    levels not being known, spread (n, 3, G): the covariance of the values is spread' spread."""

    weight: Array
    rise_knot: Array
    knot: Array
    value: Array
    spread: Array


def shapes(sketch: Sketch, x: Array) -> Shapes:
    """The likeliest shapes of a sketch, and what they say of G places."""
    parts = []
    for _, believed, fit in sketch.parts:
        log_w = fit.log_weight + np.log(believed)
        at = np.unravel_index(np.argsort(-log_w, axis=None)[:SHAPES], log_w.shape)
        rise, fall = fit.rises.take(at[0]).at(x, fit.form, "rise"), fit.falls.take(at[1]).at(x, fit.form, "fall")
        levels = fit.levels(at)
        knots = np.stack([fit.rises.knot[at[0]], fit.falls.knot[at[1]]])
        parts.append((log_w[at], knots, levels.mean, np.stack(levels.factor), np.stack(bases(rise, fall), 1)))
    log_w, basis = (np.concatenate([part[i] for part in parts]) for i in (0, 4))
    knots, mean, factor = (np.concatenate([part[i] for part in parts], axis=1) for i in (1, 2, 3))
    weight = np.exp(log_w - log_w.max())
    value = np.einsum("ln,nlg->ng", mean, basis)
    return Shapes(weight / weight.sum(), knots[0], knots[1], value, np.asarray(np.linalg.solve(_lower(factor), basis)))


def _lower(factor: Array) -> Array:
    """Cholesky factors (6, n) as matrices (n, 3, 3)."""
    matrix = np.zeros((factor.shape[1], 3, 3))
    matrix[:, [0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]] = factor.T
    return matrix
