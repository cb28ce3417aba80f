"""Shapes of a dose-response: a rise from the first level to the plateau, a fall from the plateau to the floor.

    score(x) = first (1 - R) + plateau R F + floor R (1 - F)          R(x): 0 -> 1,  F(x): 1 -> 0

Two detectors differ in how R and F go over. The knot a of a rise is where it leaves the first level, the knot c of a
fall where it leaves the plateau; w is its width.

    hinge:   R = clip((x - a) / w, 0, 1)                  F = clip((c + w - x) / w, 0, 1)
    smooth:  R = logistic(4 (x - a - w/2) / w)            F = logistic(-4 (x - c - w/2) / w)

In both, the knot is where the tangent at half height meets the level that is left, so they locate the same point.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import REACH, STEP, aligned

Detector = Literal["hinge", "smooth", "both"]
Form = Literal["hinge", "smooth"]
FORMS: dict[Detector, tuple[Form, ...]] = {"hinge": ("hinge",), "smooth": ("smooth",), "both": ("hinge", "smooth")}
# Widths of rises and falls (dex) that are tried, equally likely on a log scale. What is not looked for is coarser.
NARROWEST, WIDEST = 0.1, 3.0
FINE, COARSE = (STEP, 16), (5 * STEP, 5)
NEVER, BEFORE = np.inf, -np.inf


@dataclass(frozen=True)
class Edges:
    """K rises or falls: knot, width and prior weight (K,), height at each x (K, J). A knot may be BEFORE or NEVER."""

    knot: Array
    width: Array
    weight: Array
    height: Array

    def take(self, at: NDArray[np.intp]) -> "Edges":
        """Those at some indices."""
        return Edges(self.knot[at], self.width[at], self.weight[at], self.height[at])


def rises(x: Array, form: Form, grid: tuple[float, int], retention: bool) -> Edges:
    """Rises at ascending x (J,), -inf for dose 0: from REACH before the doses up to the largest, and never (flat).

    Retention may also be on its plateau from dose 0 on, which is as likely as a rise in any dex.
    """
    knots, widths = _lattice(x, grid)
    still = np.ones((int(retention), len(x)))
    height = np.concatenate([_height(x, knots, widths, form), still, np.zeros((1, len(x)))])
    knot = np.concatenate([knots, [BEFORE] * len(still), [NEVER]])
    width = np.concatenate([widths, [np.nan] * (len(still) + 1)])
    weight = np.concatenate([np.ones(len(knots)), [REACH / grid[0] * grid[1]] * len(still), [1.0]])
    return Edges(knot, width, weight, height)


def falls(x: Array, form: Form, grid: tuple[float, int]) -> Edges:
    """Falls at ascending x (J,): from REACH before the doses up to the largest, and never."""
    knots, widths = _lattice(x, grid)
    height = np.concatenate([1 - _height(x, knots, widths, form), np.ones((1, len(x)))])
    beyond = REACH / grid[0] * grid[1]
    return Edges(np.append(knots, NEVER), np.append(widths, np.nan), np.append(np.ones(len(knots)), beyond), height)


def _lattice(x: Array, grid: tuple[float, int]) -> tuple[Array, Array]:
    """Knots (mid-bin on the common lattice) so far apart and so many widths, every pair of them: (K,) each."""
    doses = x[np.isfinite(x)]
    start, count = aligned(doses[0] - REACH, doses[-1])
    every = round(grid[0] / STEP)
    knots = start + STEP * (np.arange(every // 2, count, every) + 0.5)
    knot, width = np.meshgrid(knots, np.geomspace(NARROWEST, WIDEST, grid[1]), indexing="ij")
    return knot.ravel(), width.ravel()


def _height(x: Array, knot: Array, width: Array, form: Form) -> Array:
    """How far up a rise is at x: (K, J)."""
    along = (x - knot[:, None]) / width[:, None]
    return np.asarray(np.clip(along, 0, 1) if form == "hinge" else expit(4 * along - 2))
