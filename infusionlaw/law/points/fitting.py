"""How well every rise with every fall explains a curve: the marginal likelihood of each pair, levels integrated out.

A plateau below the level before or after it is no plateau, and none lies above 1, so the probability of the right order
is a factor. A rise is at least half way up when the fall begins, so a curve need not have a plateau.

All pairs of a coarse lattice are tried first. Those that come near to the best are tried again, more of them in smaller
cells, so that precise scores are met as closely as noisy ones.
"""

from dataclasses import dataclass, replace

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.points.levels import Levels, Noise, Observed, log_prior_positive, solve
from infusionlaw.law.points.shapes import NEVER, Cell, Edges, Form, falls, refined, rises

COARSE, WIDE = Cell(0.15, 5), Cell(0.15, 7)  # of rises and of falls at first
# Shapes whose log likelihood is this much below the best are not looked at further.
HOPELESS = 12.0
# Rises and falls whose log likelihood comes this near to the best are tried again, in rounds. Each round allows for
# scores that its cells miss by so much.
NEAR, MISSED = 10.0, (0.06, 0.025, 0.01)
SETTLED = 2.0  # prior weight, in dex, of a retention that is on its plateau from dose 0 on


@dataclass(frozen=True)
class Fitted:
    """Every rise (A) with every fall (C) of one form: log likelihood and levels (A, C); -inf where hopeless.

    room (C,): prior weight of all rises that each fall may follow.
    """

    form: Form
    rises: Edges
    falls: Edges
    log_likelihood: Array
    levels: Levels
    room: Array

    @property
    def log_weight(self) -> Array:
        """Log likelihood and log prior weight of each pair (A, C)."""
        return self.log_likelihood + np.log(self.rises.weight)[:, None] + np.log(self.falls.weight)

    def under(self, data: Observed, noise: Noise) -> "Fitted":
        """The same shapes under another noise."""
        return fitted(data, self.form, self.rises, self.falls, noise, self.room)

    @property
    def of_falls(self) -> tuple[Array, float]:
        """Likelihood of each fall (C,), its mean over the rises that it may follow, in parts of exp(second)."""
        top = float(self.log_likelihood.max())
        return self.rises.weight @ np.exp(self.log_likelihood - top) / self.room, top


def sketch(data: Observed, form: Form, noise: Noise, most_rises: int = 30, most_falls: int = 200) -> Fitted:
    """The shapes of one form that come near to the best: so many rises and falls or more, where there are that many."""
    rise, fall = rises(data.x, form, COARSE, SETTLED if data.retention else 0.0), falls(data.x, form, WIDE)
    every, cells = rise, (COARSE, WIDE)
    for missed in MISSED:
        blurred = replace(noise, level=float(np.hypot(noise.level, missed)))
        log_l = fitted(data, form, rise, fall, blurred, np.ones(len(fall.knot))).log_likelihood
        near = log_l.max() - NEAR
        rise, first = refined(data.x, form, rise, log_l.max(1) >= near, "rise", cells[0], most_rises)
        fall, second = refined(data.x, form, fall, log_l.max(0) >= near, "fall", cells[1], most_falls)
        cells = (first, second)
    return fitted(data, form, rise, fall, noise, room(every, fall))


def fitted(data: Observed, form: Form, rise: Edges, fall: Edges, noise: Noise, space: Array) -> Fitted:
    """Levels and marginal likelihood of every pair of a rise and a fall."""
    levels = solve(data, rise.height, fall.height, noise)
    log_l = levels.fit + log_allowed(rise, fall)
    at = np.nonzero(log_l >= log_l.max() - HOPELESS)
    log_l[at] += log_order(data, rise.knot[at[0]], fall.knot[at[1]], levels.take(at))
    log_l[log_l < log_l.max() - HOPELESS] = -np.inf
    return Fitted(form, rise, fall, log_l, levels, space)


def log_allowed(rise: Edges, fall: Edges) -> Array:
    """Log prior factor of pairs (A, C): 0 where a rise is at least half way up when the fall begins, else -inf."""
    return np.where(rise.part(0.5)[:, None] <= fall.knot, 0.0, -np.inf)


def room(rise: Edges, fall: Edges) -> Array:
    """Prior weight of the rises that each fall (C,) may follow; a rise that is none is before no fall."""
    there = rise.knot < NEVER
    return np.maximum(rise.weight[there] @ np.exp(log_allowed(rise, fall))[there], 1e-300)


def log_order(data: Observed, rise: Array, fall: Array, levels: Levels) -> Array:
    """Log of how much likelier the levels of n pairs are to be in their order than their prior says: (n,)."""
    total = levels.log_positive(1.0, (0.0, -1.0, 0.0)) - log_prior_positive(data.prior, 1.0, (0.0, -1.0, 0.0))
    up, down = (-1.0, 1.0, 0.0), (0.0, 1.0, -1.0)
    total += np.where(np.isfinite(rise), levels.log_positive(0.0, up) - log_prior_positive(data.prior, 0.0, up), 0.0)
    total += np.where(fall < NEVER, levels.log_positive(0.0, down) - log_prior_positive(data.prior, 0.0, down), 0.0)
    return np.asarray(np.where(rise == NEVER, 0.0, total))
