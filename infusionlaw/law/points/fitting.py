"""How well every rise with every fall explains a curve: the marginal likelihood of each pair, levels integrated out.

A plateau below the level before or after it is no plateau, and none lies above 1, so the probability of the right order
is a factor. A rise is at least half way up when the fall begins, so a curve need not have a plateau.

All pairs of a coarse lattice are tried first. Those that come near to the best are tried again, more of them in smaller
cells, so that precise scores are met as closely as noisy ones.
"""

from dataclasses import dataclass, replace

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.points.levels import Levels, Mask, Noise, Observed, log_prior_positive, solve
from infusionlaw.law.points.shapes import NEVER, Cell, Edges, Form, falls, refined, rises

COARSE, WIDE = Cell(0.15, 5), Cell(0.15, 7)  # of rises and of falls at first
# Shapes whose log likelihood is this much below the best are not looked at further.
HOPELESS = 11.0
# Rises and falls whose log likelihood comes this near to the best are tried again, in rounds. Each round allows for
# scores that its cells miss by so much.
NEAR, MISSED = 10.0, (0.06, 0.025, 0.01)
# Prior weight, in dex, of a retention that is on its plateau from dose 0 on; of a rise that is not over at the knot.
SETTLED, OVERLAP = 2.0, 0.5


@dataclass(frozen=True)
class Fitted:
    """Every rise (A) with every fall (C) of one form: log likelihood and levels (A, C); -inf where hopeless.

    every: all rises of the prior; cells: what each of the rises, and of the falls, stands for.
    """

    form: Form
    rises: Edges
    falls: Edges
    log_likelihood: Array
    levels: Levels
    every: Edges
    cells: tuple[Cell, Cell]

    @property
    def log_weight(self) -> Array:
        """Log likelihood and log prior weight of each pair (A, C)."""
        return self.log_likelihood + np.log(self.rises.weight)[:, None] + np.log(self.falls.weight)

    def under(self, data: Observed, noise: Noise) -> "Fitted":
        """The same shapes under another noise."""
        return replace(fitted(data, self.form, self.rises, self.falls, noise), every=self.every, cells=self.cells)

    def closer(self, data: Observed, noise: Noise, most_rises: int, most_falls: int) -> "Fitted":
        """Those that came near to the best once more: at least so many rises and falls, where there are that many."""
        near = self.log_likelihood.max() - NEAR
        by_rise, by_fall = self.log_likelihood.max(1) >= near, self.log_likelihood.max(0) >= near
        if self.cells == (COARSE, WIDE):  # a neighbour of a good cell may be good in part
            by_rise, by_fall = _or_beside(by_rise, COARSE), _or_beside(by_fall, WIDE)
        rise, first = refined(data.x, self.form, self.rises, by_rise, "rise", self.cells[0], most_rises)
        fall, second = refined(data.x, self.form, self.falls, by_fall, "fall", self.cells[1], most_falls)
        return replace(fitted(data, self.form, rise, fall, noise), every=self.every, cells=(first, second))

    @property
    def of_falls(self) -> tuple[Array, float]:
        """Likelihood of each fall (C,), its mean over the rises that it may follow, in parts of exp(second)."""
        top = float(self.log_likelihood.max())
        return self.rises.weight @ np.exp(self.log_likelihood - top) / room(self.every, self.falls), top


def sketch(data: Observed, form: Form, noise: Noise, most_rises: int = 30, most_falls: int = 150) -> Fitted:
    """The shapes of one form that come near to the best: so many rises and falls or more, where there are that many."""
    rise, fall = rises(data.x, form, COARSE, SETTLED if data.settled else 0.0), falls(data.x, form, WIDE)
    needed = [missed for i, missed in enumerate(MISSED) if not i or missed > noise.level / 2]
    blurred = [replace(noise, level=float(np.hypot(noise.level, missed))) for missed in needed]
    fit = fitted(data, form, rise, fall, blurred[0])
    for level in (*blurred[1:], noise):
        fit = fit.closer(data, level, most_rises, most_falls)
    return fit


def fitted(data: Observed, form: Form, rise: Edges, fall: Edges, noise: Noise) -> Fitted:
    """Levels and marginal likelihood of every pair of a rise and a fall."""
    levels = solve(data, rise.height, fall.height, noise)
    log_l = levels.fit + log_allowed(rise, fall)
    at = np.nonzero(log_l >= log_l.max() - HOPELESS)
    log_l[at] += log_order(data, rise.knot[at[0]], fall.knot[at[1]], levels.take(at))
    log_l[log_l < log_l.max() - HOPELESS] = -np.inf
    return Fitted(form, rise, fall, log_l, levels, rise, (COARSE, WIDE))


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
    below, up, down = (1.0, (0.0, -1.0, 0.0)), (0.0, (-1.0, 1.0, 0.0)), (0.0, (0.0, 1.0, -1.0))
    rises, falls = np.isfinite(rise), fall < NEVER
    prior = log_prior_positive(data.prior, *below) + rises * log_prior_positive(data.prior, *up)
    floor = log_prior_positive(data.prior, -data.least[0], (0.0, 0.0, 1.0), data.least[1])
    prior = prior + falls * (log_prior_positive(data.prior, *down) + floor)
    return np.asarray(np.where(rise == NEVER, 0.0, levels.log_order(rises, falls, data.least) - prior))
