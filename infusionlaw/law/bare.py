"""What a model is without a dose: its scores at dose 0, carried to another size and budget.

Each score is a straight line in log10 N and log10 D, shares of right answers in logits and general loss in logarithms:

    y = alpha + beta log10(N / N0) + gamma log10(D / D0) + sigma * noise

with a conjugate prior (normal, inverse gamma), so that a prediction is a Student t; one place is enough for an answer,
which then rests on the prior of the slopes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from infusionlaw.law.dose import Array, x_of
from infusionlaw.records import DoseUnit, RunRecord

# Of shares in logits and of loss in natural logarithms: deviations of intercept and slopes, scatter between places.
SHARE_PRIOR, LOSS_PRIOR = (5.0, 2.0, 0.4), (5.0, 0.5, 0.02)
PRIOR_DOF = 4.0
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

    def draws(self, size: float, tokens: float, count: int, rng: np.random.Generator) -> Array:
        """Draws (count,) of y at one size and budget, the place's own scatter included."""
        row = np.array([1.0, np.log10(size / self.size0), np.log10(tokens / self.tokens0)])
        sd = self.scale * np.sqrt(1 + row @ np.array(self.covariance) @ row)
        return np.asarray(row @ np.array(self.mean) + sd * rng.standard_t(self.dof, count))


@dataclass(frozen=True)
class Bare:
    """The lines of recall, retention (logits) and general loss (logarithm) at dose 0; None where not measured."""

    recall: Line | None
    retention: Line | None
    general_loss: Line | None

    def shares(self, line: Line | None, size: float, tokens: float, count: int, seed: int) -> Array | None:
        """Draws (count,) of a share of right answers at dose 0."""
        return None if line is None else expit(line.draws(size, tokens, count, np.random.default_rng(seed)))

    def losses(self, size: float, tokens: float, count: int, seed: int) -> Array | None:
        """Draws (count,) of general loss at dose 0, bits per byte."""
        line = self.general_loss
        return None if line is None else np.exp(line.draws(size, tokens, count, np.random.default_rng(seed)))


def fit_bare(rows: Sequence[RunRecord], unit: DoseUnit) -> Bare:
    """The lines of a table's runs of dose 0, each place the mean of its seeds."""
    zero = [row for row in rows if x_of(row, unit) == -np.inf]

    def share(value: float) -> float:
        return float(logit(np.clip(value, LEAST, MOST)))

    return Bare(
        _line(zero, lambda row: row.recall, share, SHARE_PRIOR),
        _line(zero, lambda row: row.retention, share, SHARE_PRIOR),
        _line(zero, lambda row: row.general_loss, lambda value: float(np.log(value)), LOSS_PRIOR),
    )


def _line(
    rows: Sequence[RunRecord],
    score: Callable[[RunRecord], float | None],
    transform: Callable[[float], float],
    prior: tuple[float, float, float],
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
    intercept, slope, scatter = prior
    known = np.diag((scatter / np.array([intercept, slope, slope])) ** 2)
    covariance = np.linalg.inv(design.T @ design + known)
    mean = covariance @ design.T @ y
    dof = PRIOR_DOF + len(y)
    left = y - design @ mean
    squares = PRIOR_DOF * scatter**2 + left @ left + mean @ known @ mean
    a, b, c = (_row(values) for values in covariance)
    return Line(size0, tokens0, _row(mean), (a, b, c), round(float(np.sqrt(squares / dof)), 9), dof)


def _row(values: Array) -> Row:
    a, b, c = (round(float(value), 9) for value in values)
    return a, b, c
