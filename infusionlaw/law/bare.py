"""What a model is without a dose: retention and general loss at dose 0, carried to another size and budget.

Each is a straight line in log10 N and log10 D, retention in logits and general loss in logarithms:

    y = alpha + beta log10(N / N0) + gamma log10(D / D0) + sigma * noise

with a conjugate prior (normal, inverse gamma), so that a prediction is a Student t; one place is enough for an answer,
which then rests on the prior of the slopes. Of general loss it is -0.2 a decade, give or take 0.3: published exponents
lie between -0.4 and 0, and ln 10 times a few hundredths to a tenth is what is left of them beside a floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from infusionlaw.law.dose import Array, x_of
from infusionlaw.records import DoseUnit, RunRecord


@dataclass(frozen=True)
class _Prior:
    """Deviation of the intercept; mean and deviation of both slopes; scatter between places, and what it counts for."""

    intercept: float
    slope: float
    slope_sd: float
    scatter: float
    dof: float = 4.0


RETENTION, LOSS = _Prior(5.0, 0.0, 2.0, 0.4), _Prior(5.0, -0.2, 0.3, 0.02)
LEAST, MOST = 0.02, 0.98
Row = tuple[float, float, float]


@dataclass(frozen=True)
class Line:
    """A predictive Student t around a line: its mean (3,), covariance (3, 3) in units of scale squared, and dof."""

    size0: float
    tokens0: float
    mean: Row
    covariance: tuple[Row, Row, Row]
    scale: float
    dof: float

    def draws(self, size: float, tokens: float, count: int, seed: int) -> Array:
        """Draws (count,) of y at one size and budget, the place's own scatter included."""
        row = np.array([1.0, np.log10(size / self.size0), np.log10(tokens / self.tokens0)])
        sd = self.scale * np.sqrt(1 + row @ np.array(self.covariance) @ row)
        return np.asarray(row @ np.array(self.mean) + sd * np.random.default_rng(seed).standard_t(self.dof, count))


@dataclass(frozen=True)
class Bare:
    """The lines of retention (logits) and of general loss (natural logarithm) at dose 0; None where not measured."""

    retention: Line | None
    general_loss: Line | None


def fit_bare(rows: Sequence[RunRecord], unit: DoseUnit) -> Bare:
    """The lines of a table's runs of dose 0, each place the mean of its seeds; a loss of 0 or less is left out."""
    zero = [row for row in rows if x_of(row, unit) == -np.inf]
    measured = [row for row in zero if (row.general_loss or 0.0) > 0]
    return Bare(
        _line(zero, lambda row: row.retention, lambda y: float(logit(np.clip(y, LEAST, MOST))), RETENTION),
        _line(measured, lambda row: row.general_loss, lambda y: float(np.log(y)), LOSS),
    )


def _line(
    rows: Sequence[RunRecord],
    score: Callable[[RunRecord], float | None],
    transform: Callable[[float], float],
    prior: _Prior,
) -> Line | None:
    by_place: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        if (value := score(row)) is not None:
            by_place.setdefault((row.size, row.tokens), []).append(value)
    if not by_place:
        return None
    size, tokens = (np.array(values) for values in zip(*by_place, strict=True))
    size0, tokens0 = (float(f"{10 ** np.log10(values).mean():.6g}") for values in (size, tokens))
    design = np.stack([np.ones(len(size)), np.log10(size / size0), np.log10(tokens / tokens0)], axis=1)
    y = np.array([transform(float(np.mean(values))) for values in by_place.values()])
    start = np.array([0.0, prior.slope, prior.slope])
    known = np.diag((prior.scatter / np.array([prior.intercept, prior.slope_sd, prior.slope_sd])) ** 2)
    covariance = np.linalg.inv(design.T @ design + known)
    mean = covariance @ (design.T @ y + known @ start)
    dof = prior.dof + len(y)
    left, moved = y - design @ mean, mean - start
    squares = prior.dof * prior.scatter**2 + left @ left + moved @ known @ moved
    a, b, c = (_row(values) for values in covariance)
    return Line(size0, tokens0, _row(mean), (a, b, c), round(float(np.sqrt(squares / dof)), 9), dof)


def _row(values: Array) -> Row:
    a, b, c = (round(float(value), 9) for value in values)
    return a, b, c
