"""What a model is without a dose: its scores and validation loss at dose 0, carried to another size and token count.

Each is a straight line in log10 N and log10 D, scores in logits and validation loss in logarithms:

    y = alpha + beta log10(N / N0) + gamma log10(D / D0) + sigma * noise

with a conjugate prior (normal, inverse gamma), so that a prediction is a Student t; one place is enough for an answer,
which then rests on the prior of the slopes. Of validation loss it is -0.2 a decade, give or take 0.3: published
exponents lie between -0.4 and 0, and ln 10 times a few hundredths to a tenth is what is left of them beside a floor.

Where at least four sizes and three token counts were tried, validation loss is what they show of a floor and of a
trade between size and token count (`loss_floor.py`), since the line goes on falling with the size where the token
count is what is short. Lines and floors are of means over seeds; one run lies beside them (`seeds.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from infusionlaw.law.covariates import distinct, geometric_mean, log_rows
from infusionlaw.law.dose import Array, x_of
from infusionlaw.law.scores.loss_floor import SMALLEST_LOSS, LossFloor, fit_loss_floor
from infusionlaw.law.scores.seeds import Shift, fit_shift
from infusionlaw.runs.outcomes import outcomes_with_points
from infusionlaw.runs.record import DoseUnit, RunRecord


@dataclass(frozen=True)
class Prior:
    """Deviation of the intercept; mean and deviation of both slopes; scatter between places, and what it counts for."""

    intercept: float
    slope: float
    slope_sd: float
    scatter: float
    dof: float = 4.0


SCORE_PRIOR, LOSS_PRIOR = Prior(5.0, 0.0, 2.0, 0.4), Prior(5.0, -0.2, 0.3, 0.02)
LOWEST_SCORE, HIGHEST_SCORE = 0.02, 0.98  # how near to 0 and 1 a score is taken to be
SIZES, BUDGETS = 4, 3  # how many of them show a floor
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Line:
    """A predictive Student t around a line: its mean (3,), covariance (3, 3) in units of scale squared, and dof."""

    size0: float
    tokens0: float
    mean: Triple
    covariance: tuple[Triple, Triple, Triple]
    scale: float
    dof: float

    def draws(self, size: float, tokens: float, count: int, seed: int) -> Array:
        """Draws (count,) of y at one size and token count, the place's own scatter included."""
        row = log_rows(size, tokens, self.size0, self.tokens0)
        sd = self.scale * np.sqrt(1 + row @ np.array(self.covariance) @ row)
        return np.asarray(row @ np.array(self.mean) + sd * np.random.default_rng(seed).standard_t(self.dof, count))


@dataclass(frozen=True)
class ZeroDose:
    """Scores (logits, by outcome) and validation loss (natural logarithm) at dose 0.

    shift: the loss of one run beside the mean over seeds. What was not measured is left out, or None.
    """

    scores: dict[str, Line]
    log_loss: Line | LossFloor | None
    shift: Shift | None = None

    def loss(self, size: float, tokens: float, count: int, seed: int) -> Array | None:
        """Draws (count,) of one run's validation loss at dose 0, in bits per byte; None where it was not measured."""
        if self.log_loss is None:
            return None
        mean = np.exp(self.log_loss.draws(size, tokens, count, seed))
        return np.maximum(mean + (self.shift.draws(count, seed + 1) if self.shift else 0.0), SMALLEST_LOSS)


def fit_zero_dose(rows: Sequence[RunRecord], unit: DoseUnit) -> ZeroDose:
    """Fit both to a table's runs of dose 0, each place the mean of its seeds; a loss of 0 or less is left out.

    Scores are those of the outcomes that are known before the dose: they can be lost, and are not learned from it, or a
    start has them already.
    """
    zero = [row for row in rows if x_of(row, unit) == -np.inf]
    losses = _by_place(zero, measured_loss)
    loss = _Places.of(losses, lambda y: float(np.log(y)))
    scores = {}
    for outcome in outcomes_with_points(rows):
        begun = any(row.start(outcome.name) is not None for row in zero)
        if outcome.point("lost") and (begun or not outcome.point("learned")):
            measured = _by_place(zero, lambda row, name=outcome.name: row.score(name))  # type: ignore[misc]
            if at := _Places.of(measured, lambda y: float(logit(np.clip(y, LOWEST_SCORE, HIGHEST_SCORE)))):
                scores[outcome.name] = fit_line(at.size, at.tokens, at.y, SCORE_PRIOR)
    return ZeroDose(scores, _loss(loss) if loss else None, fit_shift([*losses.values()]) if losses else None)


_ByPlace = dict[tuple[float, float], list[float]]


def _by_place(rows: Sequence[RunRecord], score: Callable[[RunRecord], float | None]) -> _ByPlace:
    """The values of a score, of the seeds of each size and token count that has any."""
    found: _ByPlace = {}
    for row in rows:
        if (value := score(row)) is not None:
            found.setdefault((row.size, row.tokens), []).append(value)
    return found


def _loss(at: "_Places") -> Line | LossFloor:
    if at.show_floors:
        return fit_loss_floor(at.size, at.tokens, np.exp(at.y), LOSS_PRIOR.scatter, LOSS_PRIOR.dof)
    return fit_line(at.size, at.tokens, at.y, LOSS_PRIOR)


def measured_loss(row: RunRecord) -> float | None:
    """A run's validation loss where it can be one: finite and above 0."""
    loss = row.val_bpb
    return loss if loss is not None and 0 < loss < np.inf else None


@dataclass(frozen=True)
class _Places:
    """Sizes and token counts (n,), their geometric means, and the transformed mean of a score at each."""

    size: Array
    tokens: Array
    y: Array

    @classmethod
    def of(cls, by_place: _ByPlace, transform: Callable[[float], float]) -> "_Places | None":
        if not by_place:
            return None
        size, tokens = (np.array(values) for values in zip(*by_place, strict=True))
        return cls(size, tokens, np.array([transform(float(np.mean(values))) for values in by_place.values()]))

    @property
    def show_floors(self) -> bool:
        return distinct(self.size) >= SIZES and distinct(self.tokens) >= BUDGETS


def fit_line(size: Array, tokens: Array, y: Array, prior: Prior) -> Line:
    """Fit a line to what was measured at sizes and token counts, each (n,)."""
    size0, tokens0 = geometric_mean(size), geometric_mean(tokens)
    design = log_rows(size, tokens, size0, tokens0)
    start = np.array([0.0, prior.slope, prior.slope])
    known = np.diag((prior.scatter / np.array([prior.intercept, prior.slope_sd, prior.slope_sd])) ** 2)
    covariance = np.linalg.inv(design.T @ design + known)
    mean = covariance @ (design.T @ y + known @ start)
    left, moved = y - design @ mean, mean - start
    scale, dof = _scale(left @ left + moved @ known @ moved, len(y), prior)
    a, b, c = (_row(values) for values in covariance)
    return Line(size0, tokens0, _row(mean), (a, b, c), scale, dof)


def _scale(squares: float, places: int, prior: Prior) -> tuple[float, float]:
    """Scale and dof of the scatter between places, given the misfit's sum of squares."""
    dof = prior.dof + places
    return round(float(np.sqrt((prior.dof * prior.scatter**2 + squares) / dof)), 9), dof


def _row(values: Array) -> Triple:
    a, b, c = (round(float(value), 9) for value in values)
    return a, b, c
