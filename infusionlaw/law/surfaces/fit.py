"""Fit a loss surface to measured losses, and say what the losses do and do not tell of it.

Standard errors are those of a Huber regression: with psi the residuals clipped at delta, J their Jacobian at the fit,
n runs, p parameters and m the chance that a residual lies within delta,

    covariance = sum psi^2 / ((n - p) m^2)  (J'J)^-1

They hold near the minimum found, for runs with independent errors; a fit with several minima is less sure than that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from infusionlaw.errors import InputError, nearest
from infusionlaw.law.dose import Array
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.forms import MIXTURE, PowerCurve, Surface
from infusionlaw.law.surfaces.problem import Problem, Scale, descend, starts_of

Status = Literal["converged", "at a bound", "not identified", "not converged", "given"]
LARGEST = 1e6  # a loss beyond this is none, and its squares would drown the others or overflow
# The angle between the residuals and a parameter's column at which a descent has arrived, as in MINPACK's gtol, and
# residuals so small that the angle is rounding.
FLAT, EXACT = 1e-4, 1e-8
# Columns of the Jacobian that agree to this are one direction; a parameter with that much of it is part of it.
DEPENDENT, PART = 1e-7, 1e-3


@dataclass(frozen=True)
class SurfaceFit:
    """A fitted surface. theta: all parameters by name; standard_errors: of the free ones, None where there is none.

    objective: sum of rho; r2: of the losses themselves (None when all are equal); residuals (n,): observed minus
    fitted, on the scale fitted; reason: one sentence on the status and on the standard errors that are None.
    """

    surface: Surface
    theta: dict[str, float]
    standard_errors: dict[str, float | None]
    objective: float
    r2: float | None
    residuals: Array
    status: Status
    reason: str
    scale: Scale
    delta: float

    def predict(self, conditions: Conditions) -> Array:
        """The loss at other conditions, (n,)."""
        return self.surface.loss(self.theta, conditions)


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
) -> SurfaceFit:
    """Fit a surface to the losses (n,) of n runs; of the minima reached from all starts the lowest is returned.

    fixed: parameters that are given; delta: where rho turns linear, infinite for least squares; on: residuals of log
    loss or of loss itself; starts: values of the free parameters to descend from, instead of the surface's grid.
    Raises InputError for losses, names or numbers that cannot be fitted.
    """
    problem = Problem(surface, conditions, np.array(loss, dtype=float), dict(fixed or {}), delta, on)
    _check(problem)
    if not problem.free:
        return _result(problem, np.empty(0))
    found = [_start(problem, start) for start in starts] if starts else starts_of(problem)
    return _result(problem, descend(problem, found))


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


def _result(problem: Problem, x: Array) -> SurfaceFit:
    theta = problem.theta(x)
    spread = float(((problem.loss - problem.loss.mean()) ** 2).sum())
    missed = float(((problem.loss - problem.surface.loss(theta, problem.conditions)) ** 2).sum())
    errors, status, reason = _judged(problem, x) if problem.free else ({}, "given", "every parameter was given")
    return SurfaceFit(
        surface=problem.surface,
        theta=theta,
        standard_errors=errors,
        objective=problem.objective(x),
        r2=1 - missed / spread if spread else None,
        residuals=problem.residuals(x),
        status=status,
        reason=reason,
        scale=problem.scale,
        delta=problem.delta,
    )


def _judged(problem: Problem, x: Array) -> tuple[dict[str, float | None], Status, str]:
    """Standard errors by free parameter, the status, and the sentence that explains both."""
    names = np.array([p.name for p in problem.free])
    low, high = problem.bounds
    bound = np.isclose(x, low, rtol=1e-6, atol=1e-9) | np.isclose(x, high, rtol=1e-6, atol=1e-9)
    inside = names[~bound]
    columns = problem.jacobian(x)[:, ~bound]
    blurred, inverse = _identified(columns)
    variance = _variance(problem, x, len(inside))
    errors: dict[str, float | None] = dict.fromkeys(names.tolist())
    if variance is not None:
        found = zip(inside.tolist(), blurred, np.sqrt(variance * inverse), strict=True)
        errors |= {name: None if vague else float(error) for name, vague, error in found}
    if not _arrived(problem, x, columns):
        return dict.fromkeys(errors), "not converged", "the descent ended on a slope; give other starts"
    if blurred.any():
        return errors, "not identified", f"these runs leave {_listed(inside[blurred])} undetermined; fix some of them"
    unsure = "" if variance is not None else "there are no more runs than parameters, so errors are unknown"
    if bound.any():
        ends = ", ".join(f"{name} at {value:.4g}" for name, value in zip(names[bound], x.round(9)[bound], strict=True))
        reason = f"{ends} ended at the limit of what is searched"
        return errors, "at a bound", "; ".join(filter(None, [reason, unsure]))
    return errors, "converged", unsure


def _listed(names: Array) -> str:
    return ", ".join(names[:-1].tolist()) + (" and " if len(names) > 1 else "") + str(names[-1])


def _arrived(problem: Problem, x: Array, columns: Array) -> bool:
    """Whether no parameter within its bounds could still lower the objective."""
    psi = problem.influence(x)
    if np.sqrt(np.mean(problem.residuals(x) ** 2)) < EXACT:
        return True
    sizes = np.linalg.norm(psi) * np.linalg.norm(columns, axis=0)
    return bool(np.all(np.abs(psi @ columns) <= FLAT * sizes))


def _identified(columns: Array) -> tuple[Array, Array]:
    """For each column whether it depends on others (or does nothing), and the diagonal of (J'J)^-1 where not."""
    length = np.linalg.norm(columns, axis=0)
    scaled = columns / np.where(length > 0, length, 1.0)
    _, values, directions = np.linalg.svd(scaled, full_matrices=True)
    values = np.pad(values, (0, len(directions) - len(values)))
    null = values <= DEPENDENT * values.max(initial=0.0)
    blurred = (np.abs(directions[null]) > PART).any(axis=0) | (length == 0)
    inverse = (directions[~null] ** 2 / values[~null, None] ** 2).sum(axis=0) / np.where(length > 0, length, 1.0) ** 2
    return np.asarray(blurred), np.asarray(inverse)


def _variance(problem: Problem, x: Array, parameters: int) -> float | None:
    """The factor of (J'J)^-1 in the covariance; None when no run is left over."""
    z, left = np.sort(np.abs(problem.residuals(x))), len(problem.loss) - parameters
    if left <= 0:
        return None
    # Few residuals lie within a small delta: their density is taken over the inner quarter. As many as there are
    # parameters are left out, because a robust fit passes nearly through that many losses.
    width = max(problem.delta, float(np.quantile(z[parameters:], 0.25)))
    inside = 1.0 if np.isinf(width) else float((z[parameters:] <= width).mean()) * problem.delta / width
    return float((problem.influence(x) ** 2).sum() / (left * inside**2))


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
