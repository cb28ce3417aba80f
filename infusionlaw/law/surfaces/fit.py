"""Fit a loss surface to measured losses, and say what the losses do and do not tell of it.

Intervals are those of a bootstrap (`bootstrap`): it resamples rows, or whole training curves where several rows are
checkpoints of one run, and fits again. The curvature at the optimum is no substitute. With Huber's rho and a small
delta it gives errors about half as large (Chinchilla's points, arXiv 2404.10102).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from infusionlaw.errors import InputError, nearest
from infusionlaw.law.dose import LEVEL, Array, Interval
from infusionlaw.law.surfaces.bootstrap import losses_at, refit, resampled, stretches, units_of
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.descent import descend
from infusionlaw.law.surfaces.forms import MIXTURE, PowerCurve, Surface
from infusionlaw.law.surfaces.problem import Problem, Scale, starts_of

Status = Literal["converged", "at a bound", "not identified", "not converged", "given"]
DRAWS = 200
LARGEST = 1e6  # a loss beyond this is none, and its squares would drown the others or overflow
# The angle between the residuals and a parameter's column at which a descent has arrived, as in MINPACK's gtol, and
# residuals so small that the angle is rounding.
FLAT, EXACT = 1e-4, 1e-8
# Columns of the Jacobian that agree to this are one direction; a parameter with that much of it is part of it.
DEPENDENT, PART = 1e-7, 1e-3
OFTEN = 0.05  # a part of the draws at a limit that is said


@dataclass(frozen=True)
class SurfaceFit:
    """A fitted surface. theta: all parameters by name; draws: the free ones in each bootstrap refit, (M,) each.

    stretch: how much further than its refit each draw lies from the optimum (M,), see `bootstrap`.
    M is 0 where nothing is left over to resample. undetermined: parameters that these runs do not tell; objective: sum
    of rho; r2: of the losses themselves (None when all are equal); residuals (n,): observed minus fitted, on the scale
    fitted; reason: one sentence on the status and on intervals that are missing.
    """

    surface: Surface
    theta: dict[str, float]
    draws: dict[str, Array]
    stretch: Array
    undetermined: tuple[str, ...]
    objective: float
    r2: float | None
    residuals: Array
    status: Status
    reason: str
    scale: Scale
    delta: float

    @property
    def intervals(self) -> dict[str, Interval]:
        """The 90 % interval of each free parameter."""
        return {name: self.interval(name) for name in self.draws}

    def interval(self, name: str, level: float = LEVEL) -> Interval:
        """The fitted value of a free parameter and its bootstrap interval; no ends where these runs do not tell it."""
        if name in self.undetermined or not len(self.draws[name]):
            return Interval(self.theta[name])
        drawn = self.theta[name] + self.stretch * (self.draws[name] - self.theta[name])
        low, high = np.quantile(np.clip(drawn, *self.surface.bounds[name]), [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.theta[name], float(low), float(high))

    def predict(self, conditions: Conditions) -> Array:
        """The loss at other conditions, (n,)."""
        return self.surface.loss(self.theta, conditions)

    def draws_at(self, conditions: Conditions) -> Array:
        """The loss at other conditions in each bootstrap refit, (M, n)."""
        if not all(len(values) for values in self.draws.values()):
            return np.empty((0, len(conditions)))
        drawn, fitted = losses_at(self.surface, {**self.theta, **self.draws}, conditions), self.predict(conditions)
        return np.clip(fitted + self.stretch[:, None] * (drawn - fitted), *self.surface.within)

    def interval_at(self, conditions: Conditions, level: float = LEVEL) -> list[Interval]:
        """The loss at each of other conditions and its bootstrap interval; no ends where there are no draws."""
        return intervals_of(self.predict(conditions), self.draws_at(conditions), level)


def intervals_of(values: Array, draws: Array, level: float) -> list[Interval]:
    """An interval for each of the values (n,), with ends from their draws (M, n) where there are any."""
    if not len(draws):
        return [Interval(float(value)) for value in values]
    ends = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(*map(float, found)) for found in zip(values, *ends, strict=True)]


@dataclass(frozen=True)
class ToleratedShare:
    """The least share of a corpus that keeps its loss at or below a limit; None with a reason when there is none."""

    share: float | None
    reason: str = ""


def fit_surface(
    surface: Surface,
    conditions: Conditions,
    loss: ArrayLike,
    *,
    fixed: Mapping[str, float] | None = None,
    delta: float = 1e-3,
    on: Scale = "log",
    starts: Sequence[Mapping[str, float]] | None = None,
    curves: Sequence[str | None] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> SurfaceFit:
    """Fit a surface to the losses (n,) of n runs; of the minima reached from all starts the lowest is returned.

    fixed: parameters that are given; delta: where rho turns linear, infinite for least squares; on: residuals of log
    loss or of loss itself; starts: values of the free parameters to descend from, instead of the surface's grid;
    curves: the training run of each row, None for a row that is a run of its own; draws: bootstrap refits.
    Raises InputError for losses, names or numbers that cannot be fitted.
    """
    problem = Problem(surface, conditions, np.array(loss, dtype=float), dict(fixed or {}), delta, on)
    _check(problem)
    units = units_of(curves, len(problem.loss))
    if not problem.free:
        return _result(problem, np.empty(0), np.empty((0, 0)), np.empty(0), True)
    found = [_start(problem, start) for start in starts] if starts else starts_of(problem)
    x = descend(problem, found)
    left = units.max() + 1 - len(problem.free)
    weights = resampled(problem, x, units, draws, seed) if left > 0 else np.empty((0, len(units)))
    stretch = stretches(units, len(problem.free), draws, seed) if left > 0 else np.empty(0)
    return _result(problem, x, refit(problem, x, weights), stretch, left > 0)


def _check(problem: Problem) -> None:
    loss, names = problem.loss, problem.surface.parameters
    if loss.shape != (len(problem.conditions),) or not loss.size:
        raise InputError(f"there are {loss.size} losses for {len(problem.conditions)} runs; give one loss a run")
    if problem.scale not in ("log", "linear"):
        raise InputError(f'a surface cannot be fitted on "{problem.scale}"; give "log" or "linear"')
    bad = ~(np.abs(loss) <= LARGEST) | ((loss <= 0) if problem.scale == "log" else False)
    if bad.any():
        raise InputError(f"loss {np.argmax(bad) + 1} is {loss[bad][0]:g}, which cannot be fitted; leave that run out")
    surface = problem.surface
    if isinstance(surface, PowerCurve) and problem.fixed.get("s", 0.0) <= 0:
        at_zero = np.flatnonzero(problem.conditions.column(surface.needs[0]) == 0)
        if len(at_zero):
            raise InputError(
                f"run {at_zero[0] + 1} has a {surface.needs[0]} of 0, of which a negative power is infinite; leave "
                f'such runs out, or fit the surface "{MIXTURE.name}", which has a loss at 0'
            )
    if not problem.delta > 0:
        raise InputError(f"delta is {problem.delta:g}, which must be above 0")
    for name, value in problem.fixed.items():
        if name not in names:
            raise InputError(f'"{name}" is no parameter of the surface {problem.surface.name}; {nearest(name, names)}')
        if np.isnan(value):
            raise InputError(f'"{name}" is fixed at what is not a number; give one or leave it free')


def _start(problem: Problem, start: Mapping[str, float]) -> Array:
    missing = [p.name for p in problem.free if p.name not in start]
    if missing:
        raise InputError(f'a start lacks "{missing[0]}"; give a value for every parameter that is not fixed')
    return np.array([start[p.name] for p in problem.free], dtype=float)


def _result(problem: Problem, x: Array, refits: Array, stretch: Array, told: bool) -> SurfaceFit:
    theta = problem.theta(x)
    spread = float(((problem.loss - problem.loss.mean()) ** 2).sum())
    missed = float(((problem.loss - problem.surface.loss(theta, problem.conditions)) ** 2).sum())
    status: Status = "given"
    undetermined, reason = np.empty(0, dtype=str), "every parameter was given"
    if problem.free:
        undetermined, status, reason = _judged(problem, x, refits, told)
    return SurfaceFit(
        surface=problem.surface,
        theta=theta,
        draws={p.name: refits[:, i] for i, p in enumerate(problem.free)},
        stretch=stretch,
        undetermined=tuple(undetermined.tolist()),
        objective=problem.objective(x),
        r2=1 - missed / spread if spread else None,
        residuals=problem.residuals(x),
        status=status,
        reason=reason,
        scale=problem.scale,
        delta=problem.delta,
    )


def _judged(problem: Problem, x: Array, refits: Array, told: bool) -> tuple[Array, Status, str]:
    """The parameters that these runs do not tell, the status, and the sentence that explains both."""
    names = np.array([p.name for p in problem.free])
    bound, drawn = problem.at_bound(x), problem.at_bound(refits).mean(axis=0) if len(refits) else np.zeros(len(x))
    columns = problem.jacobian(x)[:, ~bound]
    if not _arrived(problem, x, columns):
        return names, "not converged", "the descent ended on a slope; give other starts"
    undetermined = names[~bound][_undetermined(columns)]
    if len(undetermined):
        return (
            undetermined,
            "not identified",
            f"these runs leave {_listed(undetermined)} undetermined",
        )
    ends = [
        f"{name} at {value:.4g} ended at the limit of what is searched"
        + (f", as in {100 * part:.0f} % of the draws" if len(refits) else "")
        for name, value, part in zip(names[bound], x.round(9)[bound], drawn[bound], strict=True)
    ]
    often = [
        f"{name} is at a limit in {100 * part:.0f} % of the draws"
        for name, part in zip(names[~bound], drawn[~bound], strict=True)
        if part >= OFTEN
    ]
    unsure = [] if told else ["there are no more independent runs than parameters, so intervals are unknown"]
    return undetermined, "at a bound" if bound.any() else "converged", "; ".join([*ends, *often, *unsure])


def _listed(names: Array) -> str:
    return ", ".join(names[:-1].tolist()) + (" and " if len(names) > 1 else "") + str(names[-1])


def _arrived(problem: Problem, x: Array, columns: Array) -> bool:
    """Whether no parameter within its bounds could still lower the objective."""
    psi = problem.influence(x)
    if np.sqrt(np.mean(problem.residuals(x) ** 2)) < EXACT:
        return True
    sizes = np.linalg.norm(psi) * np.linalg.norm(columns, axis=0)
    return bool(np.all(np.abs(psi @ columns) <= FLAT * sizes))


def _undetermined(columns: Array) -> Array:
    """For each column of a Jacobian whether it depends on others, or does nothing."""
    length = np.linalg.norm(columns, axis=0)
    scaled = columns / np.where(length > 0, length, 1.0)
    _, values, directions = np.linalg.svd(scaled, full_matrices=True)
    values = np.pad(values, (0, len(directions) - len(values)))
    null = values <= DEPENDENT * values.max(initial=0.0)
    return np.asarray((np.abs(directions[null]) > PART).any(axis=0) | (length == 0))


def tolerated_share(fit: SurfaceFit, limit: float, *, size: float = 1.0, tokens: float = 1.0) -> ToleratedShare:
    """The least share of the fitted corpus at which, and above which, its predicted loss is at most `limit`.

    Of a validation loss over the general share this is the tolerance share: 1 minus it is the most domain share.
    """

    def excess(share: ArrayLike) -> Array:
        return fit.predict(Conditions(size, tokens, tokens, share)) - limit

    shares = np.linspace(0.0, 1.0, 2001)
    above = np.flatnonzero(excess(shares) > 0)
    if not len(above):
        return ToleratedShare(0.0, "the loss stays within the limit at every share")
    if above[-1] == len(shares) - 1:
        return ToleratedShare(None, "the loss is above the limit even at a share of 1")
    ends = shares[above[-1]], shares[above[-1] + 1]
    return ToleratedShare(float(brentq(lambda share: float(excess(share)[0]), *ends)))
