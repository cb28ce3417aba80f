"""Shapes of a dose-response: a rise from the first level to the plateau, a fall from the plateau to the floor.

    score(x) = first (1 - R) + plateau R F + floor R (1 - F)          R(x): 0 -> 1,  F(x): 1 -> 0

Three forms differ in how R and F go over. With u = (x - knot) / width, a rise is

    hinge     clip(u, 0, 1)
    logistic  1 / (1 + exp(2 - 4u))
    gompertz  2^-exp((1 - 2u) / ln 2)        quick to leave the first level, slow to reach the plateau

and a fall its mirror image, 1 - u in place of u. In all three the knot is where the tangent at half height meets the
level that is left, so they locate the same point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from infusionlaw.law.dose import Array
from infusionlaw.law.likelihood import REACH

Form = Literal["hinge", "logistic", "gompertz"]
Detector = Literal["hinge", "logistic", "gompertz", "all"]
FORMS: dict[Detector, tuple[Form, ...]] = {
    "hinge": ("hinge",),
    "logistic": ("logistic",),
    "gompertz": ("gompertz",),
    "all": ("logistic", "hinge", "gompertz"),
}
# Widths in dex. Next to a step is narrow enough: a fall between two doses looks the same at any smaller width.
NARROWEST, WIDEST = 0.03, 3.0
NEVER, BEFORE = np.inf, -np.inf
Height = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Cell:
    """What one rise or fall of a lattice stands for: so much of knot, and one of so many parts of all log widths."""

    dex: float
    parts: float

    @property
    def log_ratio(self) -> float:
        """How much log width it covers."""
        return float(np.log(WIDEST / NARROWEST)) / self.parts

    def split(self, copies: float) -> "Cell":
        """One of so many parts of it."""
        return Cell(self.dex / copies**0.5, self.parts * copies**0.5)


@dataclass(frozen=True)
class Edges:
    """K rises or falls: knot, width, prior weight (K,), height at each x (K, J). A knot may be BEFORE or NEVER.

    The weights of the knots add up to the dex that they cover.
    """

    knot: Array
    width: Array
    weight: Array
    height: Array

    def take(self, at: NDArray[np.intp]) -> "Edges":
        """Those at some indices."""
        return Edges(self.knot[at], self.width[at], self.weight[at], self.height[at])

    def at(self, x: Array, form: Form, which: Literal["rise", "fall"]) -> Array:
        """Height at other doses x (G,): (K, G)."""
        height = rise_height if which == "rise" else fall_height
        there = np.isfinite(self.knot)
        found = np.repeat((self.knot == (BEFORE if which == "rise" else NEVER)).astype(float)[:, None], len(x), axis=1)
        found[there] = height(x, self.knot[there], self.width[there], form)
        return found

    def part(self, way: float) -> Array:
        """Where each has come this part of its way (K,); -inf where it never begins, or was over before all doses."""
        return np.where(np.isfinite(self.knot), self.knot + way * np.nan_to_num(self.width), -np.inf)


def rises(x: Array, form: Form, cell: Cell, settled: float) -> Edges:
    """Rises at ascending x (J,), -inf for dose 0: from REACH before the doses up to the largest, and never (last).

    One in the middle of each cell. settled: prior weight, in dex, of a score that is on its plateau from dose 0 on; 0
    where it cannot be. The weight of `never` is REACH.
    """
    extra = [(BEFORE, 1.0, settled)] if settled else []
    return _edges(x, cell, [*extra, (NEVER, 0.0, REACH)], lambda knot, width: rise_height(x, knot, width, form))


def falls(x: Array, form: Form, cell: Cell) -> Edges:
    """Falls at ascending x (J,): from REACH before the doses up to the largest, and never (last, of weight REACH)."""
    return _edges(x, cell, [(NEVER, 1.0, REACH)], lambda knot, width: fall_height(x, knot, width, form))


def _edges(x: Array, cell: Cell, extra: Sequence[tuple[float, float, float]], height: Height) -> Edges:
    doses = x[np.isfinite(x)]
    knots = np.arange(doses[0] - REACH, doses[-1], cell.dex)
    widths = np.log(NARROWEST) + cell.log_ratio * np.arange(round(cell.parts))
    cell_knot, cell_width = (grid.ravel() for grid in np.meshgrid(knots, widths, indexing="ij"))
    reach = np.minimum(cell.dex, doses[-1] - cell_knot)
    knot, width = cell_knot + reach / 2, np.exp(cell_width + cell.log_ratio / 2)
    more = np.array(extra)
    return Edges(
        np.append(knot, more[:, 0]),
        np.append(width, np.full(len(more), np.nan)),
        np.append(reach / len(widths), more[:, 2]),
        np.concatenate([height(knot, width), np.repeat(more[:, 1:2], len(x), axis=1)]),
    )


def refined(
    x: Array, form: Form, edges: Edges, near: NDArray[np.bool_], which: Literal["rise", "fall"], cell: Cell, most: int
) -> tuple[Edges, Cell]:
    """Those that are near, `most` or more of them, scattered over their cells; those without a knot stay.

    Where more than twice as many are near, every so manieth stands for its neighbours.
    """
    finite = np.isfinite(edges.knot)
    still, chosen = edges.take(np.flatnonzero(~finite)), np.flatnonzero(near & finite)
    every, copies = max(1, len(chosen) // (2 * most)), max(1, most // max(len(chosen), 1))
    kept = chosen[every // 2 :: every]
    scale = edges.weight[chosen].sum() / edges.weight[kept].sum() if len(kept) else 1.0
    along, wider = scattered(len(kept), copies)
    knot, width = np.repeat(edges.knot[kept], copies), np.repeat(edges.width[kept], copies)
    if copies > 1:
        knot = np.minimum(knot + (along - 0.5) * cell.dex, x[-1])
        width = np.clip(width * np.exp((wider - 0.5) * cell.log_ratio), NARROWEST, WIDEST)
    height = rise_height if which == "rise" else fall_height
    found = Edges(
        np.append(knot, still.knot),
        np.append(width, still.width),
        np.append(np.repeat(edges.weight[kept] * scale / copies, copies), still.weight),
        np.concatenate([height(x, knot, width, form), still.height]),
    )
    return found, cell.split(copies)


def scattered(cells: int, copies: int = 1) -> tuple[Array, Array]:
    """Points of the unit square, so many in each cell and the copies of a cell evenly: (cells * copies,) each.

    A golden-ratio sequence a cell, each with a start of its own, always the same. A start that ran on from cell to cell
    would put all widths of one column of the lattice in nearly the same place.
    """
    start = np.random.default_rng(0).random((2, cells, 1))
    steps = np.arange(copies) * np.array([0.7548776662466927, 0.5698402909980532])[:, None, None]
    along, wider = ((start + steps) % 1).reshape(2, -1)
    return along, wider


def rise_height(x: Array, knot: Array, width: Array, form: Form) -> Array:
    """How far up rises (K,) are at x (J,): (K, J), 0..1."""
    return _height((x - knot[:, None]) / width[:, None], form)


def fall_height(x: Array, knot: Array, width: Array, form: Form) -> Array:
    """What falls (K,) have left at x (J,): (K, J), 1..0."""
    return _height(1 - (x - knot[:, None]) / width[:, None], form)


def _height(u: Array, form: Form) -> Array:
    if form == "hinge":
        return np.clip(u, 0, 1)
    if form == "logistic":
        return np.asarray(expit(4 * u - 2))
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(-np.log(2) * np.exp(np.minimum((1 - 2 * u) / np.log(2), 50.0))))
