"""From a table to laws of its losses: surfaces fitted, weighed by held-out places, with bootstrap draws.

Every surface over size, tokens and share is fitted that has fewer free parameters than there are independent runs. What
did not vary is held: an exponent with two values of its covariate at the published one, and with one value its term is
left out. How a share's effect moves with a covariate that did not vary keeps its prior, N(0, MOVES), in the draws.

Each size and token count is left out in turn (each share, where there are few) and predicted from the rest. A
surface's weight is how often it predicts them best when the left-out places are resampled.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infusionlaw.law.covariates import geometric_mean
from infusionlaw.law.dose import Array
from infusionlaw.law.losses.law import FittedSurface, LossLaw
from infusionlaw.law.losses.measured import Measured, loss_unit, losses_of, measured, title_of
from infusionlaw.law.points.find import loss_points
from infusionlaw.law.points.point import Point
from infusionlaw.law.surfaces.bootstrap import losses_at, refit, units_of
from infusionlaw.law.surfaces.conditions import Conditions
from infusionlaw.law.surfaces.fit import SurfaceFit, fit_surface
from infusionlaw.law.surfaces.forms import Surface
from infusionlaw.law.surfaces.known import mixtures
from infusionlaw.law.surfaces.mixtures import SIZE0, TOKENS0
from infusionlaw.law.surfaces.problem import Problem
from infusionlaw.runs.record import RunRecord

DELTA = 0.01  # relative residuals beyond this count in proportion, not squared
PUBLISHED = {"alpha": 0.34, "beta": 0.28}  # 2203.15556
MOVES = 0.3  # as of the cost of a dose (`scores.cost`)
SURE = 4  # standard deviations of a run, beyond which a loss has risen again
DRAWS, JUDGED, NEGLIGIBLE, LEAST_PLACES = 300, 1000, 0.01, 3


def fit_losses(rows: Sequence[RunRecord], *, tolerance: float = 0.05, seed: int = 0) -> tuple[LossLaw, ...]:
    """The law of each loss of a table's runs that are not held out; none where fewer than two shares were tried.

    tolerance: of the points of the losses that rise with the share, in the unit of the table.
    """
    used = [row for row in rows if not row.held_out]
    found = ((name, measured(used, name)) for name in losses_of(used))
    return tuple(
        _law(data, loss_unit(used), loss_points(used, name, title_of(name), tolerance) if data.displaced else (), seed)
        for name, data in found
        if data is not None
    )


def _law(data: Measured, unit: str, points: Sequence[Point], seed: int) -> LossLaw:
    law = LossLaw(
        loss=data.name,
        unit=unit,
        displaced=bool(data.displaced),
        since=data.since,
        base=data.base,
        sizes=tuple(sorted(set(data.size.tolist()))),
        token_counts=tuple(sorted(set(data.tokens.tolist()))),
        shares=(float(data.share.min()), float(data.share.max())),
        surfaces=(),
        points=tuple(replace(point, likelihood=None) for point in points),
    )
    notes: tuple[str, ...] = ()
    if len(_told(last := data.last())) > len(_told(data)):
        data, notes = last, ("the runs are too few for a surface over their checkpoints, so only the last ones count",)
    fits = [fit for surface in _told(data) if (fit := _fitted(surface, data))]
    if not fits:
        return replace(law, reason=f"{_units(data)} runs are too few for any surface of {law.title}; add shares")
    weight = _weights([_held_out(fit, data) for fit in fits], data, seed)
    surfaces = tuple(_kept(fit, data, float(w), seed) for fit, w in zip(fits, weight, strict=True))
    return replace(law, surfaces=surfaces, notes=(*_notes(data), *notes), **_turn(data))


def _told(data: Measured) -> list[Surface]:
    """The surfaces with fewer free parameters than there are independent runs."""
    return [each for each in mixtures() if len(each.parameters) - len(_given(each, data)) < _units(data)]


def _units(data: Measured) -> int:
    """How many runs are independent."""
    return int(units_of(data.curves, len(data.loss)).max()) + 1


def _conditions(data: Measured) -> Conditions:
    return Conditions(data.size, data.tokens, share=1 - data.share if data.displaced else data.share)


def _given(surface: Surface, data: Measured) -> dict[str, float]:
    """The parameters that a table's sizes and token counts do not tell."""
    own = "s" not in surface.parameters  # its exponent of tokens is also told by shares
    given: dict[str, float] = {}
    if data.sizes == 1:
        given |= {"A": 0.0, "alpha": PUBLISHED["alpha"], "p": 0.0}
    elif data.sizes == 2:
        given |= {"alpha": PUBLISHED["alpha"]}
    if data.token_counts == 1 and "transfer" not in surface.parameters:
        given |= {"B": 0.0, "beta": PUBLISHED["beta"], "s": 0.0} | ({"eta": 1.0} if own else {})
    elif data.token_counts == 2 and "transfer" not in surface.parameters:
        given |= {"beta": PUBLISHED["beta"]}
    return {name: value for name, value in given.items() if name in surface.parameters}


def _fitted(surface: Surface, data: Measured) -> SurfaceFit | None:
    """A surface fitted to a loss, without draws; None where that fails."""
    fit = fit_surface(surface, _conditions(data), data.moved, fixed=_given(surface, data), delta=DELTA, draws=0)
    return None if fit.status == "not converged" or not np.isfinite(fit.objective) else fit


def _left_out(data: Measured) -> NDArray[np.intp]:
    """What each run is left out with, as numbers (n,): its size and token count, or its share where these are few."""
    if data.places.max() + 1 >= LEAST_PLACES:
        return data.places
    return np.asarray(np.unique(data.share, return_inverse=True)[1].ravel())


def _held_out(fit: SurfaceFit, data: Measured) -> Array:
    """The squared error (n,) of each run's log loss, predicted from the runs that are not left out with it."""
    given = {name: value for name, value in fit.theta.items() if name not in fit.draws}
    problem = Problem(fit.surface, _conditions(data), data.moved, given, fit.delta, fit.scale)
    start = np.array([fit.theta[p.name] for p in problem.free])
    groups = _left_out(data)
    others = (groups != np.arange(groups.max() + 1)[:, None]).astype(float)
    x = refit(problem, start, others)
    theta = {**fit.theta, **dict(zip((p.name for p in problem.free), x.T, strict=True))}
    found = losses_at(fit.surface, theta, problem.conditions)
    predicted = np.broadcast_to(found, others.shape)[groups, np.arange(len(groups))]
    return np.asarray(np.log(data.moved / np.maximum(predicted, 1e-9)) ** 2)


def _weights(errors: Sequence[Array], data: Measured, seed: int) -> Array:
    """How often each surface predicts the left-out groups best, when these are resampled."""
    groups = _left_out(data)
    count = int(groups.max()) + 1
    by_group = np.array([[error[groups == group].mean() for group in range(count)] for error in errors])
    drawn = np.random.default_rng(seed).dirichlet(np.ones(count), size=JUDGED)
    best = (by_group @ drawn.T).argmin(axis=0)
    weight = np.bincount(best, minlength=len(errors)) / JUDGED
    weight = np.where(weight < NEGLIGIBLE, 0.0, weight)
    return np.asarray(weight / weight.sum())


def _kept(fit: SurfaceFit, data: Measured, weight: float, seed: int) -> FittedSurface:
    """A surface with as many of its draws as its weight is worth; what did not vary is drawn from its prior."""
    count, rng = round(weight * DRAWS), np.random.default_rng(seed)
    if count:
        given = {name: value for name, value in fit.theta.items() if name not in fit.draws}
        fit = fit_surface(
            fit.surface,
            _conditions(data),
            data.moved,
            fixed=given,
            delta=DELTA,
            starts=[fit.theta],
            curves=data.curves,
            draws=count,
            seed=seed,
        )
    draws = {name: fit.draws.get(name, np.full(count, value)) for name, value in fit.theta.items()}
    for name, of, unit in (("p", data.size, SIZE0), ("s", data.tokens, TOKENS0)):
        if name in draws and name not in fit.draws:
            draws[name] = rng.normal(0.0, MOVES, count)
            # What the table did measure stays as it is: the power turns about the table's own size or token count.
            draws["K"] = draws["K"] * (geometric_mean(of) / unit) ** -draws[name]
    rows = np.stack(list(draws.values()), axis=1)
    return FittedSurface(
        fit.surface,
        round(weight, 4),
        {name: float(f"{value:.8g}") for name, value in fit.theta.items()},
        fit.reason,
        tuple(tuple(float(f"{value:.8g}") for value in row) for row in rows.tolist()),
        tuple(float(f"{value:.8g}") for value in fit.stretch),
    )


def _notes(data: Measured) -> tuple[str, ...]:
    return tuple(
        f"only one {word} was tried, so how losses change with it is a guess"
        for word, count in (("size", data.sizes), ("token count", data.token_counts))
        if count == 1
    )


def _turn(data: Measured) -> dict[str, Any]:
    """Return `turn` and `lowest` of a loss of domain text that rises again at every size and token count."""
    if data.displaced:
        return {}
    lowest, rises = [], []
    for shares, means in data.by_share():
        lowest.append(float(shares[means.argmin()]))
        rises.append(float(means[-1] - means.min()))
    if not min(rises) > SURE * data.noise:
        return {}
    tokens = [float(data.tokens[data.places == place][0]) for place in range(len(lowest))]
    said = (
        f"is lowest at {_between(lowest, 'a share of ', 'shares of ')} and higher by {_between(rises)} at the largest "
        "share, where the same text is read too often"
    )
    return {"turn": said, "lowest": max(share * count for share, count in zip(lowest, tokens, strict=True))}


def _between(values: Sequence[float], one: str = "", several: str = "") -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return f"{one}{low}" if low == high else f"{several}{low} to {high}"
