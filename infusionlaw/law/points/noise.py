"""How noisy a measured score is: over facts, and between seeds.

A run's score has two errors: one over facts (its standard error, binomial when none is given) and one between seeds.
The between-seed variance tau^2 is estimated from runs that share a dose, and since one or two seeds say little about
it, it is shrunk twice: the table's towards a prior, a curve's towards the table's,

    tau^2 = (nu * prior^2 + sum(squares seen - what the error over facts explains)) / (nu + degrees of freedom).

Validation loss, a smooth function of the dose, also tells its noise by how far its means lie from a curve of the form
that a dose is known to cost (`law.cost`); that counts where there is one seed a dose. Its noise grows with its rise: at
sizes of 14 k to 111 k, two seeds each, the deviation was .013 bits per byte up to a share of .6 and .034 where loss had
risen by 1 (docs/demo/table.csv).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infusionlaw.law.dose import Array, displaced
from infusionlaw.runs.record import DoseUnit

NOISE_PRIOR_DOF = 2.0
TABLE_DOF = 4.0
MOST_DOF = 100.0
# Rises of validation loss, bits per byte, beyond which its noise may grow in proportion, with prior odds around 0.4.
GROWTHS = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6])
GROWTH_PRIOR, GROWTH_LOG_SD = 0.4, 1.0
LEAST_LOSS_NOISE = 0.004
Runs = Sequence[tuple[Array, Array]]  # of each dose, the values of its runs and their errors over facts
GROWTH_POWERS = np.geomspace(0.02, 2.0, 30)


@dataclass(frozen=True)
class Squares:
    """Squares between seeds beyond what the error over facts explains, and their degrees of freedom."""

    value: float = 0.0
    dof: float = 0.0

    def __add__(self, other: "Squares") -> "Squares":
        return Squares(self.value + other.value, self.dof + other.dof)


@dataclass(frozen=True)
class SeedNoise:
    """The between-seed variance and how well it is known."""

    variance: float
    dof: float


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


def within_doses(doses: Runs) -> Squares:
    """From runs that share a dose."""
    squares, dof = 0.0, 0.0
    for values, errors in doses:
        free = len(values) - 1
        squares += float(((values - values.mean()) ** 2).sum() - free * (errors**2).mean())
        dof += free
    return Squares(squares, dof)


def about_curve(x: Array, doses: Runs, unit: DoseUnit, scale: Array) -> Squares:
    """From how far the means of the doses x (J,) lie from level + amount * displaced^power, fitted to them.

    doses and x as `within_doses`, already divided by their `scale` (J,). No degrees of freedom with fewer than 4 doses.
    """
    free = len(x) - 3
    if free < 1:
        return Squares()
    rises = np.expm1(np.outer(GROWTH_POWERS, displaced(x, unit)))
    root = np.sqrt([len(values) for values, _ in doses])
    mean = np.array([values.mean() for values, _ in doses])
    known = float(np.mean([(errors**2).mean() for _, errors in doses]))
    left = [_misfit(root / scale * np.stack([np.ones(len(x)), rise]), root * mean) for rise in rises]
    return Squares(float(min(left)) - free * known, free)


def _misfit(basis: Array, y: Array) -> float:
    """Sum of squares left of y (J,) by the best combination of the basis (2, J)."""
    unit = basis / np.linalg.norm(basis, axis=1, keepdims=True)
    return float(((y - unit.T @ np.linalg.lstsq(unit.T, y)[0]) ** 2).sum())


def relative_noise(doses: Runs, grows: float) -> Array:
    """The noise at each dose (J,) in that at the first: hypot(1, rise / grows); the same at all for `grows` = inf."""
    mean = np.array([values.mean() for values, _ in doses])
    return np.asarray(np.hypot(1.0, np.maximum(mean - mean[:1], 0.0) / grows))


def growth(places: Sequence[Runs]) -> float:
    """The rise beyond which the noise grows: the likeliest of GROWTHS, by the runs that share a dose."""
    seen = [(values, errors) for doses in places for values, errors in doses]
    if not any(len(values) > 1 for values, _ in seen):
        return GROWTH_PRIOR
    scores = []
    for grows in GROWTHS:
        scale = np.concatenate([relative_noise(doses, grows) for doses in places])
        squares = within_doses([(values / s, errors / s) for (values, errors), s in zip(seen, scale, strict=True)])
        free = np.array([len(values) - 1 for values, _ in seen])
        variance = max(squares.value / squares.dof, LEAST_LOSS_NOISE**2)
        prior = (np.log(grows / GROWTH_PRIOR) / GROWTH_LOG_SD) ** 2 / 2
        scores.append(-squares.dof / 2 * np.log(variance) - free @ np.log(scale) - prior)
    return float(GROWTHS[np.argmax(scores)])


def between_seeds(own: Squares, others: Sequence[Squares], prior: float) -> SeedNoise:
    """A curve's noise; its variance is shrunk towards that of the others, theirs towards a prior deviation."""
    least = (prior / 5) ** 2
    pooled = sum(others, Squares())
    table = shrunk_variance(pooled, prior**2, NOISE_PRIOR_DOF, least)
    weight = min(NOISE_PRIOR_DOF + pooled.dof, TABLE_DOF)
    return SeedNoise(shrunk_variance(own, table, weight, least), weight + own.dof)


def shrunk_variance(seen: Squares, prior: float, prior_dof: float, least: float) -> float:
    """The between-seed variance: the prior variance and the squares seen, weighted by degrees of freedom."""
    return max((prior_dof * prior + seen.value) / (prior_dof + seen.dof), least)


def effective_dof(dof: float, known: Array, between: Array) -> float:
    """Degrees of freedom of variances known + between (J,), of which only `between` is estimated, with `dof`.

    Satterthwaite (1946), averaged over doses: the more of a variance is known, the less its estimate can be wrong.
    """
    estimated = between / (known + between)
    return min(dof / float(np.mean(estimated**2)), MOST_DOF) if len(estimated) else dof
