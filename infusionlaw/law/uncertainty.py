"""Noise and draws: how uncertain a measured score is, and how that is carried on as random draws.

A run's score has two errors: one over facts (its standard error, binomial when none is given) and one between seeds.
The between-seed variance tau^2 is estimated from runs that share a dose, and since one or two seeds say little about
it, it is shrunk twice: the table's towards a prior, a curve's towards the table's,

    tau^2 = (nu * prior^2 + sum(squares within doses - what the error over facts explains)) / (nu + degrees of freedom).

The bootstrap of a dose's mean is the smoothed one: a normal draw with variance (se^2 + tau^2) / seeds, made heavier
tailed (Student's t) by how poorly tau is known. Resampling two seeds as they are would give zero width when they agree.
"""

from collections.abc import Sequence

import numpy as np

from infusionlaw.law.dose import LEVEL, Array, Interval

PRIOR_DOF = 2.0
TABLE_DOF = 4.0
MOST_DOF = 100.0


def run_error(value: float, given: float | None, facts: float | None, least: float) -> float:
    """Standard error of one run's score over facts: the given one, but no less than `least`.

    With `facts`, the binomial error (p from (hits + 1) / (facts + 2), so that recall 0 or 1 has one too) is used when
    none or 0 is given.
    """
    if given is not None and np.isfinite(given) and given > 0:
        return max(float(given), least)
    if not facts:
        return least
    p = (value * facts + 1) / (facts + 2)
    return max(float(np.sqrt(p * (1 - p) / facts)), least)


def excess_squares(doses: Sequence[tuple[Array, Array]]) -> tuple[float, float]:
    """Squares between seeds beyond what the error over facts explains, and their degrees of freedom; by dose."""
    squares, dof = 0.0, 0.0
    for values, errors in doses:
        free = len(values) - 1
        squares += float(((values - values.mean()) ** 2).sum() - free * (errors**2).mean())
        dof += free
    return squares, dof


def shrunk_variance(squares: float, dof: float, prior: float, prior_dof: float, least: float) -> float:
    """The between-seed variance: the prior variance and the squares seen, weighted by degrees of freedom."""
    return max((prior_dof * prior + squares) / (prior_dof + dof), least)


def effective_dof(dof: float, known: Array, between: float) -> float:
    """Degrees of freedom of variances known + between (J,), of which only `between` is estimated, with `dof`.

    Satterthwaite (1946), averaged over doses: the more of a variance is known, the less its estimate can be wrong.
    """
    estimated = between / (known + between)
    return min(dof / float(np.mean(estimated**2)), MOST_DOF) if len(estimated) else dof


def perturbed(mean: Array, sd: Array, dof: float, draws: int, rng: np.random.Generator) -> Array:
    """Bootstrap draws (draws, J) of J means: Student's t with `dof`, one common scale factor a draw."""
    factor = np.sqrt(dof / rng.chisquare(dof, size=(draws, 1)))
    return np.asarray(mean + rng.standard_normal((draws, len(mean))) * sd * factor)


def interval_of(draws: Array) -> Interval:
    """Median and 90 % interval of draws that may hold -inf and inf; an infinite end is None."""
    low, value, high = np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], method="inverted_cdf")
    return Interval(*(float(end) if np.isfinite(end) else None for end in (value, low, high)))
