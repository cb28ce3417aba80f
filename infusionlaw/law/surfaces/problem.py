"""The minimisation behind a surface fit: residuals, a robust objective, starts and descent.

Minimised is the sum over runs of Huber's rho of the residual z, log loss (or loss) observed minus fitted:

    rho(z) = z^2 / 2 for |z| <= delta, delta (|z| - delta / 2) beyond

Variable projection finds the starts: over a grid of the shape parameters the coefficients solve a linear problem. The
best starts descend (`descent`). Nothing is random.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import lsq_linear

from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.forms import Parameter, Surface, Theta

Scale = Literal["log", "linear"]
# A small delta makes many local minima, so several starts descend.
LEAST_STARTS, DESCENTS = 30, 40
TINY, LARGE, FAR = 1e-300, 1e100, 1e6


@dataclass(frozen=True)
class Problem:
    """A surface and the losses (n,) it is fitted to; x below is the vector of the free parameters."""

    surface: Surface
    conditions: Conditions
    loss: Array
    fixed: Mapping[str, float]
    delta: float
    scale: Scale

    @cached_property
    def free(self) -> list[Parameter]:
        """The parameters that are not fixed, in the order of x."""
        return [p for p in (*self.surface.coefficients, *self.surface.shapes) if p.name not in self.fixed]

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest x."""
        return np.array([p.low for p in self.free]), np.array([p.high for p in self.free])

    def at_bound(self, x: Array) -> NDArray[np.bool_]:
        """Which parameters of x (..., free) are as low or high as they may be."""
        low, high = self.bounds
        return np.isclose(x, low, rtol=1e-6, atol=1e-9) | np.isclose(x, high, rtol=1e-6, atol=1e-9)

    def theta(self, x: ArrayLike) -> dict[str, float]:
        """All parameters by name, in the surface's order."""
        found = dict(zip((p.name for p in self.free), np.asarray(x, dtype=float).tolist(), strict=True))
        return {name: float({**found, **self.fixed}[name]) for name in self.surface.parameters}

    def residuals(self, x: ArrayLike) -> Array:
        """Observed minus fitted, (n,)."""
        return np.asarray(self.states(np.asarray(x, dtype=float)[None], slopes=False)[0][0])

    def jacobian(self, x: ArrayLike) -> Array:
        """d residual / d x, (n, free)."""
        return np.asarray(self.states(np.asarray(x, dtype=float)[None])[1][0])

    def states(self, x: Array, slopes: bool = True) -> tuple[Array, Array]:
        """Residuals (M, n) and their derivatives by x (M, n, free), for M values of x (M, free).

        Without `slopes` the derivatives are left out, (M, n, 0).
        """
        sets, rows = len(x), len(self.loss)
        found = dict(zip((p.name for p in self.free), x.T, strict=True))
        sought = {name: self.fixed[name] if name in self.fixed else found[name] for name in self.surface.parameters}
        theta, conditions = tiled(sought, self.conditions, sets)
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that overflows is as far off as can be
            fitted = self.surface.loss(theta, conditions)
            derivatives = np.empty((len(fitted), 0))
            if slopes:
                free = [name not in self.fixed for name in self.surface.parameters]
                derivatives = -self.surface.gradient(theta, conditions)[:, free]
            loss = np.tile(self.loss, sets)
            above = np.maximum(fitted, TINY)
            residuals = np.log(loss / above) if self.scale == "log" else loss - fitted
            derivatives = derivatives / above[:, None] if self.scale == "log" else derivatives
        good = np.isfinite(residuals) & np.isfinite(derivatives).all(axis=1)
        residuals, derivatives = np.where(good, residuals, FAR), np.where(good[:, None], derivatives, 0.0)
        return residuals.reshape(sets, rows), derivatives.reshape(sets, rows, -1)

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """The sum of rho and its derivatives by x (free,)."""
        z, slopes = self.states(x[None])
        size = np.abs(z[0])
        near = np.minimum(size, self.delta)
        return float((near**2 / 2 + near * (size - near)).sum()), np.clip(z[0], -self.delta, self.delta) @ slopes[0]

    def influence(self, x: ArrayLike) -> Array:
        """rho'(z): the residuals, clipped at delta, (n,)."""
        return np.clip(self.residuals(x), -self.delta, self.delta)

    def objective(self, x: ArrayLike) -> float:
        """The sum of rho."""
        size = np.abs(self.residuals(x))
        near = np.minimum(size, self.delta)
        return float((near**2 / 2 + near * (size - near)).sum())


def tiled(theta: Theta, conditions: Conditions, sets: int) -> tuple[Theta, Conditions]:
    """Parameters that are M numbers each, and conditions, as one long column of M times the conditions."""
    spread = {name: np.repeat(value, len(conditions)) if np.ndim(value) else value for name, value in theta.items()}
    return spread, conditions if sets == 1 else conditions.take(np.tile(np.arange(len(conditions)), sets))


def starts_of(problem: Problem) -> list[Array]:
    """The most promising x on the grid of free shapes, each with its best coefficients."""
    shapes = [p for p in problem.surface.shapes if p.name not in problem.fixed]
    names = [p.name for p in shapes]
    axes = [p.grid for p in shapes]
    while shapes and math.prod(map(len, axes)) < LEAST_STARTS:
        axes = [_finer(axis) for axis in axes]
    grid = [dict(zip(names, values, strict=True)) for values in product(*axes)]
    return sorted((_projected(problem, values) for values in grid), key=problem.objective)[:DESCENTS]


def _finer(axis: tuple[float, ...]) -> tuple[float, ...]:
    """An axis with one more value within each gap."""
    return tuple(sorted((*axis, *((low + high) / 2 for low, high in pairwise(axis)))))


def _projected(problem: Problem, shapes: Theta) -> Array:
    """x at these shapes, with the coefficients of least (relative) squares."""
    surface, fixed = problem.surface, problem.fixed
    nothing = -np.inf if surface.logged else 0.0
    # The exponents of a form may depend on coefficients that are still unknown; one of 1 is as good as any to start.
    theta = {p.name: 0.0 if surface.logged else 1.0 for p in surface.coefficients} | dict(shapes) | dict(fixed)
    terms = np.nan_to_num(surface.terms(theta, problem.conditions), posinf=LARGE)
    given = np.array([fixed.get(p.name, nothing) for p in surface.coefficients])
    rest = problem.loss - terms @ (np.exp(given) if surface.logged else given)
    weight = 1 / problem.loss if problem.scale == "log" else np.ones_like(rest)
    free = [p.name not in fixed for p in surface.coefficients]
    if any(free):
        lows = np.array([0.0 if surface.logged else p.low for p in surface.coefficients])[free]
        amounts = _coefficients(terms[:, free] * weight[:, None], rest * weight, lows, surface.logged)
        names = [p.name for p in surface.coefficients if p.name not in fixed]
        theta |= dict(zip(names, amounts.tolist(), strict=True))
    return np.clip([theta[p.name] for p in problem.free], *problem.bounds)


def _coefficients(columns: Array, target: Array, lows: Array, logged: bool) -> Array:
    """Least-squares coefficients above their lower bounds, as logarithms where `logged`."""
    length = np.maximum(np.linalg.norm(columns, axis=0), TINY)
    limits = (lows * length, np.full(len(lows), np.inf))
    solved = lsq_linear(columns / length, target, bounds=limits).x
    if not logged:
        return np.asarray(solved / length)
    # A coefficient of nothing has no logarithm: its term starts at about a thousandth of the loss.
    least = 1e-3 * float(np.linalg.norm(target))
    return np.asarray(np.log(np.maximum(solved, max(least, TINY)) / length))
