"""The shape of recall over dose: baseline, straight rise, plateau, hinge, straight fall, floor.

    recall(x)    = g (1 - h) + P h            h = rise * fall
    retention(x) = F + (s - F)(1 - rise) + (P - F) h
    rise = clip((x - a) / (b - a), 0, 1)      fall = clip((d - x) / (d - c), 0, 1)      b <= c

a is where the score leaves its baseline (acquisition), c the hinge where it leaves its plateau (collapse). g is the
guessing level, s the retention at dose 0, F the guessing level that retention falls towards. The rise has knots of its
own, so it does not bend the fall. Given the knots, the two levels are linear and solved in closed form; the knots are
searched over a grid, for all bootstrap draws at once. A grid cannot stop in a local minimum, and it shows which other
knots fit as well: between two doses many do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.dose import Array

Mask = NDArray[np.bool_]
Index = NDArray[np.intp]

# Positions beyond all doses: ZERO stands for dose 0, EARLIER and LATER for knots that no dose reaches.
ZERO, EARLIER, LATER = -2e9, -1e9, 1e9
RISES, RISE_WIDTHS, FALLS, FALL_WIDTHS = 20, 6, 60, 24
# Knots whose misfit exceeds the best by this chi-square cannot win in any draw worth the name; of the others, so many
# are kept at random: when more are left, the noise is far coarser than the grid.
HOPELESS, MOST = 25.0, 5000


@dataclass(frozen=True)
class Knots:
    """K candidate shapes, arrays (K,), and the grid steps of a and c."""

    a: Array
    b: Array
    c: Array
    d: Array
    step: tuple[float, float]

    @property
    def never_rise(self) -> Mask:
        """Where the shape stays at its baseline: flat."""
        return np.asarray(self.a >= LATER / 2)

    @property
    def never_fall(self) -> Mask:
        """Where the shape stays on its plateau, or never reaches one."""
        return np.asarray(self.c >= LATER / 2)

    def take(self, index: Index) -> "Knots":
        """The candidates at `index`, in that order."""
        return Knots(self.a[index], self.b[index], self.c[index], self.d[index], self.step)


@dataclass(frozen=True)
class Problem:
    """Observations of one curve and the candidates' bases: y, sd (J,); lower, upper (K, J), y = lower*l + upper*u."""

    y: Array
    sd: Array
    knots: Knots
    lower: Array
    upper: Array

    def take(self, index: Index) -> "Problem":
        """The same observations with the candidates at `index` only."""
        return Problem(self.y, self.sd, self.knots.take(index), self.lower[index], self.upper[index])


def candidates(x: Array, retention: bool) -> Knots:
    """All knots tried for ascending doses x (J,), J at least 2, among them no rise, no plateau and no fall."""
    span, gaps = x[-1] - x[0], np.diff(x)
    start = x[0] - max(0.3, gaps.max())
    rise_at = np.linspace(start, x[-1], RISES, endpoint=False)
    fall_at = np.linspace(start, x[-1], FALLS, endpoint=False)
    rise = _pairs(rise_at, np.geomspace(gaps.min() / 8, 1.5 * span, RISE_WIDTHS))
    fall = _pairs(fall_at, np.geomspace(gaps.min() / 8, 3 * span, FALL_WIDTHS))
    # A rise at EARLIER has dose 0 at the baseline; one at 3 ZERO has dose 0 on the plateau (retention only).
    ends = [EARLIER, LATER, 3 * ZERO] if retention else [EARLIER, LATER]
    rise = np.concatenate([rise, [[end, end] for end in ends]])
    fall = np.concatenate([fall, [[2 * LATER, 2 * LATER]]])
    i, j = np.nonzero(rise[:, None, 1] <= fall[None, :, 0])
    steps = (float(rise_at[1] - rise_at[0]), float(fall_at[1] - fall_at[0]))
    return Knots(rise[i, 0], rise[i, 1], fall[j, 0], fall[j, 1], steps)


def _pairs(at: Array, widths: Array) -> Array:
    left, width = np.meshgrid(at, widths, indexing="ij")
    return np.stack([left.ravel(), (left + width).ravel()], axis=1)


def bases(knots: Knots, x: Array, retention: bool) -> tuple[Array, Array]:
    """Weights of the lower and the upper level at x (J,): two arrays (K, J)."""
    a, b, c, d = (knot[:, None] for knot in (knots.a, knots.b, knots.c, knots.d))
    rise = np.clip((x - a) / np.maximum(b - a, 1e-9), 0, 1)
    both = rise * np.clip((d - x) / np.maximum(d - c, 1e-9), 0, 1)
    return (1 - rise if retention else 1 - both), both


def problem(x: Array, y: Array, sd: Array, knots: Knots, retention: bool) -> Problem:
    """The least-squares problem of observations y (J,) at x (J,), where ZERO stands for dose 0."""
    return Problem(y, sd, knots, *bases(knots, x, retention))


def solve(task: Problem, y: Array) -> tuple[Array, Array, Array]:
    """chi2, lower and upper level (K, M) of every candidate for M sets of observations y (M, J).

    Candidates whose upper level lies below the lower one are no trapezoid and get chi2 = inf, except the flat one.
    """
    weight = task.sd**-2
    low, up = task.lower * weight, task.upper * weight
    ll = (low * task.lower).sum(1)[:, None] + 1e-6
    lu = (low * task.upper).sum(1)[:, None]
    uu = (up * task.upper).sum(1)[:, None] + 1e-6
    ly, uy = low @ y.T, up @ y.T
    det = ll * uu - lu**2
    lower, upper = (uu * ly - lu * uy) / det, (ll * uy - lu * ly) / det
    chi2 = (y**2 @ weight)[None, :] - lower * ly - upper * uy
    flat = task.knots.never_rise[:, None]
    return np.where((upper >= lower) | flat, chi2, np.inf), lower, upper


def near(task: Problem, centre: Array, rng: np.random.Generator) -> Problem:
    """The candidates that fit observations near `centre` (J,), and all without a fall, among them the flat one."""
    chi2 = solve(task, centre[None])[0][:, 0]
    keep = np.flatnonzero((chi2 <= chi2.min() + HOPELESS) & ~task.knots.never_fall)
    if len(keep) > MOST:
        keep = np.sort(rng.choice(keep, MOST, replace=False))
    return task.take(np.append(keep, np.flatnonzero(task.knots.never_fall)))


def draw_knots(task: Problem, y: Array, rng: np.random.Generator) -> Knots:
    """One shape for each of M sets of observations y (M, J), drawn in proportion to its likelihood exp(-chi2 / 2).

    Taking only the best shape would hide that between two doses many knots fit equally well. a and c are spread over
    their grid step, so that no interval is finer than the grid.
    """
    small = near(task, task.y, rng)
    chi2 = solve(small, y)[0]
    weight = np.exp((chi2.min(0) - chi2) / 2).cumsum(0)
    pick = (weight < rng.random(len(y)) * weight[-1]).sum(0)
    knots = small.knots.take(np.minimum(pick, len(chi2) - 1))
    jitter = rng.uniform(-0.5, 0.5, size=(2, len(y)))
    a, c = knots.a + jitter[0] * knots.step[0], knots.c + jitter[1] * knots.step[1]
    return Knots(a, knots.b, c, knots.d, knots.step)


def p_value(task: Problem, null: Callable[[Knots], Mask], noise: Array, rng: np.random.Generator) -> float:
    """How often noise alone makes the full shape beat the `null` shapes by what it does here.

    `null` picks candidates out of Knots: `never_rise` or `never_fall`; `noise` (M, J) holds draws of the observation
    errors. The likelihood ratio's null distribution is simulated from the best null fit, because knots that vanish
    under the null make its chi-square law wrong.
    """
    chi2, lower, upper = (part[:, 0] for part in solve(task, task.y[None]))
    rows = np.flatnonzero(null(task.knots))
    best = rows[chi2[rows].argmin()]
    centre = task.lower[best] * lower[best] + task.upper[best] * upper[best]
    few = near(task, centre, rng)
    simulated = solve(few, centre + noise)[0]
    ratios = simulated[null(few.knots)].min(0) - simulated.min(0)
    return float((1 + np.sum(ratios >= chi2[best] - chi2.min())) / (1 + len(noise)))
