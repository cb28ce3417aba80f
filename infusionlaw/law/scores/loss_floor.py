"""Validation loss without a dose, with a floor and with a trade between size and token count:

    L = E + (A (N / N0)^-a + B (D / D0)^-b)^(1 / p) + sigma * noise,   E, A, B >= 0

p = 1 is the form of Hoffmann et al. 2022 (2203.15556), in which more tokens gain a small model what they gain a large
one; E = 0 and p = 1 / b that of Kaplan et al. 2020 (2001.08361), in which they gain a small one less. For given
exponents, p and E it is a straight line with a conjugate prior (normal, inverse gamma); those four have a grid of
values, whose cells are weighed by their evidence.
"""

from dataclasses import dataclass, fields

import numpy as np

from infusionlaw.law.covariates import geometric_mean
from infusionlaw.law.dose import Array

SMALLEST_LOSS = 0.02  # what a draw is at least, noise included
# The exponents that a and b may have, and the prior mean and deviation of their logarithms (2203.15556 has .34 and .28;
# small models and token counts more or less); what p may be, and E in parts of the smallest loss; how many draws are
# kept.
RATES, RATE, RATE_SD = np.geomspace(0.03, 1.5, 20), -1.2, 1.0
POWERS, PARTS = np.geomspace(1.0, 8.0, 7), np.linspace(0.0, 0.9, 10)
FLOOR_DRAWS = 500
BLOCK = 200_000  # cells times losses that are looked at together


@dataclass(frozen=True)
class LossFloor:
    """A loss with a floor, as draws of its posterior: each (E, A, B, a, b, p, sigma)."""

    size0: float
    tokens0: float
    posterior: tuple[tuple[float, ...], ...]

    def draws(self, size: float, tokens: float, count: int, seed: int) -> Array:
        """Draws (count,) of ln L at one size and token count, the place's own scatter included."""
        rng = np.random.default_rng(seed)
        e, a, b, alpha, beta, p, sigma = np.array(self.posterior)[rng.integers(len(self.posterior), size=count)].T
        above = a * (size / self.size0) ** -alpha + b * (tokens / self.tokens0) ** -beta
        loss = e + above ** (1 / p)
        return np.asarray(np.log(np.maximum(loss + sigma * rng.standard_normal(count), SMALLEST_LOSS)))


def fit_loss_floor(size: Array, tokens: Array, loss: Array, scatter: float, dof: float) -> LossFloor:
    """From losses at sizes and token counts, all (n,). scatter between places by the prior, as a part of the loss,
    which counts for `dof` of them."""
    size0, tokens0 = geometric_mean(size), geometric_mean(tokens)
    cells = _grid(float(loss.min()))
    line = _lines(cells, size / size0, tokens / tokens0, loss, scatter * float(loss.mean()), dof)
    posterior = _drawn(cells, line, dof + len(loss))
    return LossFloor(size0, tokens0, tuple(tuple(float(f"{value:.7g}") for value in draw) for draw in posterior))


@dataclass(frozen=True)
class _Cells:
    """The cells of the grid, (g,) each: a, b, p and E."""

    alpha: Array
    beta: Array
    p: Array
    floor: Array


def _grid(smallest: float) -> _Cells:
    alpha, beta, p, part = (each.ravel() for each in np.meshgrid(RATES, RATES, POWERS, PARTS, indexing="ij"))
    return _Cells(alpha, beta, p, part * smallest)


@dataclass(frozen=True)
class _Line:
    """The posterior of A and B in every cell: means (g, 2) and covariances (g, 2, 2) in parts of `unit` (g,), the sum
    of squares (g,) that sigma follows from, and the logarithm of the cell's weight (g,)."""

    unit: Array
    mean: Array
    covariance: Array
    squares: Array
    weight: Array


def _lines(cells: _Cells, size: Array, tokens: Array, loss: Array, scatter: float, dof: float) -> _Line:
    """`_line` of every cell, in blocks, so that memory stays small with many losses."""
    blocks = np.array_split(np.arange(len(cells.p)), max(1, len(cells.p) * len(loss) // BLOCK))
    few = (_Cells(cells.alpha[at], cells.beta[at], cells.p[at], cells.floor[at]) for at in blocks)
    parts = [_line(own, size, tokens, loss, scatter, dof) for own in few]
    return _Line(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(_Line)))


def _line(cells: _Cells, size: Array, tokens: Array, loss: Array, scatter: float, dof: float) -> _Line:
    """With R = L - E, in units of its mean c, and with weights that make a deviation of R^p one of L:

        (c / R)^(p - 1) (A .. + B ..) / (p c^(p - 1)) = R / p

    A and B have prior means c / (2 p) and deviations c / p there.
    """
    p, above = cells.p, loss - cells.floor[:, None]
    centre = above.mean(axis=1)
    weight = (centre[:, None] / above) ** (p - 1)[:, None]
    terms = [_decays(size, cells.alpha), _decays(tokens, cells.beta)]
    design, y = np.stack(terms, axis=2) * weight[..., None], above / p[:, None]
    known, start = (scatter * p / centre) ** 2, np.repeat(centre / 2 / p, 2).reshape(-1, 2)
    precision = np.einsum("gni,gnj->gij", design, design) + known[:, None, None] * np.eye(2)
    covariance = np.linalg.inv(precision)
    told = np.einsum("gni,gn->gi", design, y) + known[:, None] * start
    mean = np.einsum("gij,gj->gi", covariance, told)
    left, moved = y - np.einsum("gni,gi->gn", design, mean), mean - start
    squares = dof * scatter**2 + (left**2).sum(axis=1) + known * (moved**2).sum(axis=1)
    believed = -(((np.log([cells.alpha, cells.beta]) - RATE) / RATE_SD) ** 2).sum(axis=0) / 2
    evidence = -(dof + len(loss)) / 2 * np.log(squares) - np.linalg.slogdet(precision)[1] / 2 + np.log(known)
    return _Line(p * centre ** (p - 1), mean, covariance, squares, believed + evidence)


def _decays(ratio: Array, rates: Array) -> Array:
    """ratio^-rate, (rates, ratios)."""
    return np.asarray(ratio[None, :] ** -rates[:, None])


def _drawn(cells: _Cells, line: _Line, dof: float) -> Array:
    """Draws (FLOOR_DRAWS, 7) of cells by their weight and of A, B and sigma in them; an A or B below 0 is taken as
    0."""
    likely, rng = np.exp(line.weight - line.weight.max()), np.random.default_rng(0)
    at = rng.choice(len(likely), size=FLOOR_DRAWS, p=likely / likely.sum())
    sigma = np.sqrt(line.squares[at] / rng.chisquare(dof, FLOOR_DRAWS))
    spread = np.einsum("gij,gj->gi", np.linalg.cholesky(line.covariance[at]), rng.standard_normal((FLOOR_DRAWS, 2)))
    parts = np.maximum(line.mean[at] + sigma[:, None] * spread, 0.0) * line.unit[at, None]
    return np.column_stack([cells.floor[at], parts, cells.alpha[at], cells.beta[at], cells.p[at], sigma])
