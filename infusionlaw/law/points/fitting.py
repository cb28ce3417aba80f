"""How well every rise with every fall explains a curve: the marginal likelihood of each pair, levels integrated out.

A plateau below the level before or after it is no plateau, and none lies above 1, so the probability of the right order
is a factor. A rise is at least half way up when the fall begins, so a curve need not have a plateau.

All pairs of a coarse lattice are tried first. Those that come near to the best are tried again, more of them in smaller
cells, so that precise scores are met as closely as noisy ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array
from infusionlaw.law.points.levels import Indices, Levels, Mask, Noise, Observed, Sums, solve
from infusionlaw.law.points.shapes import NEVER, Cell, Edges, Form, falls, refined, rises

COARSE, WIDE = Cell(0.15, 5), Cell(0.15, 7)  # of rises and of falls at first
# Shapes whose log likelihood is this much below the best are not looked at further.
HOPELESS = 11.0
# Rises and falls whose log likelihood comes this near to the best are tried again, in rounds. Each round allows for
# scores that its cells miss by so much.
NEAR, MISSED = 10.0, (0.06, 0.025, 0.01)
# Prior weight, in dex, of a retention that is on its plateau from dose 0 on; of a rise that is not over at the knot.
SETTLED, OVERLAP = 2.0, 0.5
TOGETHER = 20_000  # pairs times noises that are fitted together: more do not stay in a core's cache


@dataclass(frozen=True)
class Lattice:
    """Rises (A) and falls (C) of one form, and all of every pair that does not depend on scores.

    every: all rises of the prior; cells: what each of the rises, and of the falls, stands for.
    """

    form: Form
    rises: Edges
    falls: Edges
    every: Edges
    cells: tuple[Cell, Cell]

    @cached_property
    def log_allowed(self) -> Array:
        """Log prior factor of each pair (A, C)."""
        return log_allowed(self.rises, self.falls)

    @cached_property
    def room(self) -> Array:
        """Prior weight of the rises that each fall (C,) may follow."""
        return room(self.every, self.falls)

    def under(self, data: Observed, noise: Noise) -> "Fitted":
        """Fit the levels of every pair under a noise."""
        (rise, _, fall), found, sums = self._near(data, (noise,))
        return Fitted(self, (rise, fall), found, sums)

    def of_falls(self, data: Observed, noises: Sequence[Noise]) -> tuple[Array, Array]:
        """Likelihood of each fall under each noise (K, C), its mean over its rises, in parts of exp(second (K,))."""
        several = max(1, TOGETHER // (len(self.rises.knot) * len(self.falls.knot)))
        parts = [self._of_falls(data, noises[k : k + several]) for k in range(0, len(noises), several)]
        return np.concatenate([value for value, _ in parts]), np.concatenate([peak for _, peak in parts])

    def _of_falls(self, data: Observed, noises: Sequence[Noise]) -> tuple[Array, Array]:
        (rise, noise, fall), found, _ = self._near(data, noises)
        peak, count = _peaks(found, noise, len(noises)), len(self.falls.knot)
        value = self.rises.weight[rise] * np.exp(found - peak[noise])
        sums = np.bincount(noise * count + fall, weights=value, minlength=len(noises) * count)
        return sums.reshape(-1, count) / self.room, peak

    def _near(self, data: Observed, noises: Sequence[Noise]) -> tuple[Indices, Array, Sums]:
        """The pairs that are not hopeless under each noise: indices of rise, noise and fall, and log likelihood."""
        sums = solve(data, self.rises.height, self.falls.height, noises)
        likely = sums.likely(self.log_allowed)
        at, found, limit = likely.near(HOPELESS)
        found += log_order(data, self.rises.knot[at[0]], self.falls.knot[at[2]], sums.take(at))
        # Where that makes the best less likely, others come near to it. They stay as likely as they were.
        more, value = likely.between(_peaks(found, at[1], len(noises)) - HOPELESS, limit)
        at, found = tuple(np.concatenate(pair) for pair in zip(at, more, strict=True)), np.concatenate([found, value])
        near = found >= (_peaks(found, at[1], len(noises)) - HOPELESS)[at[1]]
        return tuple(index[near] for index in at), found[near], sums


def _peaks(value: Array, noise: NDArray[np.intp], count: int) -> Array:
    """The largest value of each noise (count,)."""
    peak = np.full(count, -np.inf)
    np.maximum.at(peak, noise, value)
    return peak


@dataclass(frozen=True)
class Fitted:
    """The pairs of a lattice that are not hopeless.

    at: the indices of their rises and falls (n,) each; found: their log likelihood (n,); sums: what their levels are.
    """

    lattice: Lattice
    at: tuple[NDArray[np.intp], NDArray[np.intp]]
    found: Array
    sums: Sums

    @property
    def form(self) -> Form:
        """The form of all its shapes."""
        return self.lattice.form

    @property
    def rises(self) -> Edges:
        """Its rises (A)."""
        return self.lattice.rises

    @property
    def falls(self) -> Edges:
        """Its falls (C)."""
        return self.lattice.falls

    @cached_property
    def peak(self) -> float:
        """The largest log likelihood."""
        return float(self.found.max())

    @cached_property
    def log_likelihood(self) -> Array:
        """Log likelihood of every rise with every fall (A, C); -inf where hopeless."""
        every = np.full((len(self.rises.knot), len(self.falls.knot)), -np.inf)
        every[self.at] = self.found
        return every

    @property
    def log_weight(self) -> Array:
        """Log likelihood and log prior weight of each pair (A, C)."""
        return self.log_likelihood + np.log(self.rises.weight)[:, None] + np.log(self.falls.weight)

    def under(self, data: Observed, noise: Noise) -> "Fitted":
        """The same shapes under another noise."""
        return self.lattice.under(data, noise)

    def closer(self, data: Observed, most_rises: int, most_falls: int) -> Lattice:
        """Those that came near to the best once more: at least so many rises and falls, where there are that many."""
        near = self.found >= self.peak - NEAR
        by_rise, by_fall = np.zeros(len(self.rises.knot), dtype=bool), np.zeros(len(self.falls.knot), dtype=bool)
        by_rise[self.at[0][near]], by_fall[self.at[1][near]] = True, True
        cells = self.lattice.cells
        if cells == (COARSE, WIDE):  # a neighbour of a good cell may be good in part
            by_rise, by_fall = _or_beside(by_rise, COARSE), _or_beside(by_fall, WIDE)
        rise, first = refined(data.x, self.form, self.rises, by_rise, "rise", cells[0], most_rises)
        fall, second = refined(data.x, self.form, self.falls, by_fall, "fall", cells[1], most_falls)
        return Lattice(self.form, rise, fall, self.lattice.every, (first, second))

    def levels(self, at: Indices) -> Levels:
        """The levels of n pairs."""
        return self.sums.take((at[0], np.zeros_like(at[0]), at[1]))

    @property
    def of_falls(self) -> Array:
        """Likelihood of each fall (C,), its mean over the rises that it may follow, in parts of exp(peak)."""
        rise, fall = self.at
        value = self.rises.weight[rise] * np.exp(self.found - self.peak)
        return np.bincount(fall, weights=value, minlength=len(self.falls.knot)) / self.lattice.room


def sketch(data: Observed, form: Form, noise: Noise, most_rises: int = 30, most_falls: int = 150) -> Fitted:
    """The shapes of one form that come near to the best: so many rises and falls or more, where there are that many."""
    return outlines(data, form, noise, (most_rises, most_falls))[0].under(data, noise)


@lru_cache(maxsize=2048)
def outlines(data: Observed, form: Form, noise: Noise, *most: tuple[int, int]) -> tuple[Lattice, ...]:
    """The lattices of `sketch`, one for each number of rises and falls; remembered, since they are asked for again."""
    needed = [missed for i, missed in enumerate(MISSED) if not i or missed > noise.level / 2]
    blurred = [replace(noise, level=float(np.hypot(noise.level, missed))) for missed in needed]
    first = coarse(tuple(data.x.tolist()), form, data.settled).under(data, blurred[0])
    found = []
    for rises_and_falls in most:
        lattice = first.closer(data, *rises_and_falls)
        for level in blurred[1:]:
            lattice = lattice.under(data, level).closer(data, *rises_and_falls)
        found.append(lattice)
    return tuple(found)


@lru_cache(maxsize=16)
def coarse(x: tuple[float, ...], form: Form, settled: bool) -> Lattice:
    """The lattice that is tried first, at ascending x (J,)."""
    doses = np.array(x)
    rise = rises(doses, form, COARSE, SETTLED if settled else 0.0)
    return Lattice(form, rise, falls(doses, form, WIDE), rise, (COARSE, WIDE))


def _or_beside(near: Mask, cell: Cell) -> Mask:
    """Those that are near, and those of the same width one knot before or after one that is; by order of a lattice."""
    step = round(cell.parts)
    found = near.copy()
    found[step:] |= near[:-step]
    found[:-step] |= near[step:]
    return found


def log_allowed(rise: Edges, fall: Edges) -> Array:
    """Log prior factor of pairs (A, C): a rise ends before the fall begins, or is at least half way up by then."""
    over = np.where(rise.part(0.5)[:, None] <= fall.knot, np.log(OVERLAP), -np.inf)
    return np.where(rise.part(1.0)[:, None] <= fall.knot, 0.0, over)


def room(rise: Edges, fall: Edges) -> Array:
    """Prior weight of the rises that each fall (C,) may follow, a cell's at least; no rise at all is before no fall."""
    there = rise.knot < NEVER
    return np.maximum(rise.weight[there] @ np.exp(log_allowed(rise, fall))[there], COARSE.dex / COARSE.parts)


def log_order(data: Observed, rise: Array, fall: Array, levels: Levels) -> Array:
    """Log of how much likelier the levels of n pairs are to be in their order than their prior says: (n,)."""
    below, up, down = data.log_order
    rises, falls = np.isfinite(rise), fall < NEVER
    prior = below + rises * up + falls * down
    return np.asarray(np.where(rise == NEVER, 0.0, levels.log_order(rises, falls, data.least) - prior))
