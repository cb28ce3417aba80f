"""What a model is without a dose: retention and general loss at dose 0, carried to another size and budget.

Each is a straight line in log10 N and log10 D, retention in logits and general loss in logarithms:

    y = alpha + beta log10(N / N0) + gamma log10(D / D0) + sigma * noise

with a conjugate prior (normal, inverse gamma), so that a prediction is a Student t; one place is enough for an answer,
which then rests on the prior of the slopes. Of general loss it is -0.2 a decade, give or take 0.3: published exponents
lie between -0.4 and 0, and ln 10 times a few hundredths to a tenth is what is left of them beside a floor.

Where at least four sizes and three budgets were tried, general loss is what they show of a floor and of a trade between
size and budget, since the line goes on falling with the size where the budget is what is short:

    L = E + (A (N / N0)^-a + B (D / D0)^-b)^(1 / p) + sigma * noise,   E, A, B >= 0

p = 1 is the form of Hoffmann et al. 2022 (2203.15556), in which more tokens gain a small model what they gain a large
one; E = 0 and p = 1 / b that of Kaplan et al. 2020 (2001.08361), in which they gain a small one less. For given
exponents, p and E it is a straight line with a conjugate prior; those four have a grid of values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from infusionlaw.law.causes import distinct, geometric_mean, log_rows
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
LEAST, MOST = 0.02, 0.98  # how near to 0 and 1 a retention is taken to be
SMALLEST_LOSS = 0.02  # what a draw of a loss with a floor is at least, noise included
# How many sizes and budgets show a floor; the exponents that a and b may have, and the prior mean and deviation of
# their logarithms (2203.15556 has .34 and .28; small models and budgets more or less); what p may be, and E in parts of
# the smallest loss; how many draws are kept.
SIZES, BUDGETS, DRAWS = 4, 3, 500
RATES, RATE, RATE_SD = np.geomspace(0.03, 1.5, 20), -1.2, 1.0
POWERS, PARTS = np.geomspace(1.0, 8.0, 7), np.linspace(0.0, 0.9, 10)
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
        row = log_rows(size, tokens, self.size0, self.tokens0)
        sd = self.scale * np.sqrt(1 + row @ np.array(self.covariance) @ row)
        return np.asarray(row @ np.array(self.mean) + sd * np.random.default_rng(seed).standard_t(self.dof, count))


@dataclass(frozen=True)
class Floors:
    """A loss with a floor, as draws of its posterior: each (E, A, B, a, b, p, sigma)."""

    size0: float
    tokens0: float
    posterior: tuple[tuple[float, ...], ...]

    def draws(self, size: float, tokens: float, count: int, seed: int) -> Array:
        """Draws (count,) of ln L at one size and budget, the place's own scatter included."""
        rng = np.random.default_rng(seed)
        e, a, b, alpha, beta, p, sigma = np.array(self.posterior)[rng.integers(len(self.posterior), size=count)].T
        above = a * (size / self.size0) ** -alpha + b * (tokens / self.tokens0) ** -beta
        loss = e + above ** (1 / p)
        return np.asarray(np.log(np.maximum(loss + sigma * rng.standard_normal(count), SMALLEST_LOSS)))


@dataclass(frozen=True)
class Bare:
    """Retention (logits) and general loss (natural logarithm) at dose 0; None where not measured."""

    retention: Line | None
    general_loss: Line | Floors | None


def fit_bare(rows: Sequence[RunRecord], unit: DoseUnit) -> Bare:
    """Both from a table's runs of dose 0, each place the mean of its seeds; a loss of 0 or less is left out."""
    zero = [row for row in rows if x_of(row, unit) == -np.inf]
    retention = _Places.of(zero, lambda row: row.retention, lambda y: float(logit(np.clip(y, LEAST, MOST))))
    loss = _Places.of(zero, measured_loss, lambda y: float(np.log(y)))
    fit_loss = _floors if loss and loss.show_floors else _line
    return Bare(_line(retention, RETENTION) if retention else None, fit_loss(loss, LOSS) if loss else None)


def measured_loss(row: RunRecord) -> float | None:
    """A run's general loss where it can be one: finite and above 0."""
    loss = row.general_loss
    return loss if loss is not None and 0 < loss < np.inf else None


@dataclass(frozen=True)
class _Places:
    """Sizes and budgets (n,), their geometric means, and the transformed mean of a score at each."""

    size: Array
    tokens: Array
    y: Array

    @classmethod
    def of(
        cls, rows: Sequence[RunRecord], score: Callable[[RunRecord], float | None], transform: Callable[[float], float]
    ) -> "_Places | None":
        by_place: dict[tuple[float, float], list[float]] = {}
        for row in rows:
            if (value := score(row)) is not None:
                by_place.setdefault((row.size, row.tokens), []).append(value)
        if not by_place:
            return None
        size, tokens = (np.array(values) for values in zip(*by_place, strict=True))
        return cls(size, tokens, np.array([transform(float(np.mean(values))) for values in by_place.values()]))

    @property
    def centre(self) -> tuple[float, float]:
        return geometric_mean(self.size), geometric_mean(self.tokens)

    @property
    def show_floors(self) -> bool:
        return distinct(self.size) >= SIZES and distinct(self.tokens) >= BUDGETS


def _line(at: _Places, prior: _Prior) -> Line:
    size0, tokens0 = at.centre
    design = log_rows(at.size, at.tokens, size0, tokens0)
    start = np.array([0.0, prior.slope, prior.slope])
    known = np.diag((prior.scatter / np.array([prior.intercept, prior.slope_sd, prior.slope_sd])) ** 2)
    covariance = np.linalg.inv(design.T @ design + known)
    mean = covariance @ (design.T @ at.y + known @ start)
    left, moved = at.y - design @ mean, mean - start
    scale, dof = _scale(left @ left + moved @ known @ moved, len(at.y), prior)
    a, b, c = (_row(values) for values in covariance)
    return Line(size0, tokens0, _row(mean), (a, b, c), scale, dof)


def _floors(at: _Places, prior: _Prior) -> Floors:
    """With R = L - E, in units of its mean c, and with weights that make a deviation of R^p one of L:

        (c / R)^(p - 1) (A .. + B ..) / (p c^(p - 1)) = R / p

    A and B have prior means c / (2 p) and deviations c / p there; a draw below 0 is taken as 0.
    """
    size0, tokens0 = at.centre
    loss, grid = np.exp(at.y), np.meshgrid(RATES, RATES, POWERS, PARTS, indexing="ij")
    alpha, beta, p, part = (each.ravel() for each in grid)
    floor = part * loss.min()
    above = loss - floor[:, None]
    centre = above.mean(axis=1)
    weight = (centre[:, None] / above) ** (p - 1)[:, None]
    terms = [_decays(at.size / size0, alpha), _decays(at.tokens / tokens0, beta)]
    design, y = np.stack(terms, axis=2) * weight[..., None], above / p[:, None]
    scatter = prior.scatter * float(loss.mean())
    known, start = (scatter * p / centre) ** 2, np.repeat(centre / 2 / p, 2).reshape(-1, 2)
    precision = np.einsum("gni,gnj->gij", design, design) + known[:, None, None] * np.eye(2)
    covariance = np.linalg.inv(precision)
    told = np.einsum("gni,gn->gi", design, y) + known[:, None] * start
    mean = np.einsum("gij,gj->gi", covariance, told)
    left, moved = y - np.einsum("gni,gi->gn", design, mean), mean - start
    squares = prior.dof * scatter**2 + (left**2).sum(axis=1) + known * (moved**2).sum(axis=1)
    dof = prior.dof + len(loss)
    believed = -(((np.log([alpha, beta]) - RATE) / RATE_SD) ** 2).sum(axis=0) / 2
    evidence = believed - dof / 2 * np.log(squares) - np.linalg.slogdet(precision)[1] / 2 + np.log(known)
    likely, rng = np.exp(evidence - evidence.max()), np.random.default_rng(0)
    chosen = rng.choice(len(p), size=DRAWS, p=likely / likely.sum())
    sigma = np.sqrt(squares[chosen] / rng.chisquare(dof, DRAWS))
    spread = np.einsum("gij,gj->gi", np.linalg.cholesky(covariance[chosen]), rng.standard_normal((DRAWS, 2)))
    parts = np.maximum(mean[chosen] + sigma[:, None] * spread, 0.0) * (p * centre ** (p - 1))[chosen, None]
    posterior = np.column_stack([floor[chosen], parts, alpha[chosen], beta[chosen], p[chosen], sigma])
    return Floors(size0, tokens0, tuple(tuple(float(f"{value:.7g}") for value in draw) for draw in posterior))


def _decays(ratio: Array, rates: Array) -> Array:
    """ratio^-rate, (rates, ratios)."""
    return np.asarray(ratio[None, :] ** -rates[:, None])


def _scale(squares: float, places: int, prior: _Prior) -> tuple[float, float]:
    """Scale and dof of the scatter between places, given the misfit's sum of squares."""
    dof = prior.dof + places
    return round(float(np.sqrt((prior.dof * prior.scatter**2 + squares) / dof)), 9), dof


def _row(values: Array) -> Row:
    a, b, c = (round(float(value), 9) for value in values)
    return a, b, c
