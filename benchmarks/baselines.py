"""Simple predictions to beat: where a fitted trapezoid falls, the first dose 10 % below the best, and the best dose.

Each finds one place a curve and carries it to a larger model by ordinary least squares in log size and log tokens, with
the usual prediction interval.

    trapezoid (H)   scipy's curve_fit of a rise, a plateau and a fall, from several starts
    drop (D)        where the score first lies 10 % below its maximum, interpolated between two doses
    argmax          the dose of the highest score
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import t as student

from infusionlaw.law.dose import LEVEL, Interval

Array = NDArray[np.float64]
Baseline = Callable[[Array, Array], float | None]
STARTS = (0.25, 0.45, 0.65, 0.85)  # of the way through the doses, where the fall may begin
LEAST_FALL = 0.05  # a fall lower than this is none
DROP = 0.1


def trapezoid(x: Array, y: Array) -> float | None:
    """Where the best trapezoid through doses x (J,) and scores y (J,) begins to fall; None where it does not fall."""
    span, best, least = float(x[-1] - x[0]), None, np.inf
    low = [0, 0, 0, x[0] - span, 0.02, 0.0, 0.02]
    high = [1, 1, 1, x[-1], 2 * span, 2 * span, 2 * span]
    for part in STARTS:
        knot = x[0] + part * span
        start = np.clip([y[0], y.max(), y[-1], x[0] - 0.1, 0.3 * span, max(knot - x[0], 0.1), 0.3 * span], low, high)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                found, _ = curve_fit(_trapezoid, x, y, p0=start, bounds=(low, high), max_nfev=300)
        except RuntimeError:
            continue
        misfit = float(((_trapezoid(x, *found) - y) ** 2).sum())
        if misfit < least - 1e-12:
            best, least = found, misfit
    if best is None:
        return None
    knot = best[3] + best[4] + best[5]
    fall = best[1] - _trapezoid(x[-1:], *best)[0]
    return float(knot) if fall > LEAST_FALL and knot < x[-1] else None


def _trapezoid(
    x: Array, first: float, plateau: float, floor: float, a: float, v: float, stay: float, w: float
) -> Array:
    """A rise from `first` over [a, a + v], a plateau for `stay`, a fall over `w` to `floor`."""
    rise, fall = np.clip((x - a) / v, 0, 1), np.clip((x - a - v - stay) / w, 0, 1)
    return np.asarray(first + (plateau - first) * rise + (floor - plateau) * fall)


def drop(x: Array, y: Array) -> float | None:
    """Where scores y (J,) at doses x (J,) first lie DROP below their maximum, after it; None where they never do."""
    top = int(y.argmax())
    level = (1 - DROP) * y[top]
    below = np.flatnonzero(y[top:] < level)
    if not len(below):
        return None
    i = top + int(below[0])
    part = (y[i - 1] - level) / (y[i - 1] - y[i])
    return float(x[i - 1] + part * (x[i] - x[i - 1]))


def argmax(x: Array, y: Array) -> float | None:
    """The dose of the highest score y (J,) among doses x (J,); None where no fall of LEAST_FALL follows it."""
    top = int(y.argmax())
    return float(x[top]) if y[top] - y[-1] > LEAST_FALL else None


def line(places: Sequence[tuple[float, float]], x: Sequence[float], target: tuple[float, float]) -> Interval:
    """x at a target (size, tokens) by least squares in the logs of size and tokens, with its 90 % prediction interval.

    All None where there are no more points than coefficients. A cause that takes one value has no coefficient.
    """
    if not len(x):
        return Interval()
    logs, aim = np.log10(np.array(places)), np.log10(np.array(target))
    centre = logs.mean(0)
    varied = np.ptp(logs, axis=0) > 0.01
    if varied.all() and np.linalg.matrix_rank(logs - centre, tol=0.01) < 2:
        varied[1] = False  # size and tokens go together: the line is one in size
    design = np.column_stack([np.ones(len(x)), (logs - centre)[:, varied]])
    row = np.concatenate([[1.0], (aim - centre)[varied]])
    free = len(x) - design.shape[1]
    if free < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return Interval()
    theta, *_ = np.linalg.lstsq(design, np.array(x))
    variance = float(((design @ theta - x) ** 2).sum()) / free
    spread = np.sqrt(variance * (1 + row @ np.linalg.inv(design.T @ design) @ row))
    half, value = float(student.ppf((1 + LEVEL) / 2, free) * spread), float(row @ theta)
    return Interval(value, value - half, value + half)
