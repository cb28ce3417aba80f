"""Whether a plain power law fits its points: a posterior predictive check for curvature.

The points are simulated again and again from the power law's posterior, each with the scatter and its own error, and
each time a straight fit is taken off by weighted least squares. The residuals r then are compared with each term t of
second order that the design can tell (n d, n^2, d^2 with n = log N, d = log D):

    R^2 = (sum of w t r)^2 / (sum of w t^2 * sum of w r^2),    w = 1 / (error^2 + scatter^2)

p is the part of the simulations whose largest R^2 is at least that of the points, so that looking at several terms is
accounted for. Points known only as bounds are left out, and the simulated ones then stay within the doses, as those
that were located did.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from infusionlaw.law.dose import Array
from infusionlaw.law.scaling.forms import TOLD, left_over
from infusionlaw.law.scaling.posterior import Evidence, Posterior

MISFIT_LEVEL, SIMULATIONS = 0.05, 2000
LEAST_FREE = 2  # points beyond the power law's own coefficients
Term = Literal["product", "size", "tokens"]


@dataclass(frozen=True)
class Misfit:
    """The term of second order that the residuals follow most, and the p-value of the power law."""

    term: Term
    p: float


def misfit(fit: Posterior, data: Evidence, rng: np.random.Generator) -> Misfit | None:
    """Check the power law's fit; None where the design can tell no term of second order."""
    seen, at = data.located, data.at.take(data.located)
    n, d = (np.log10(values / np.median(values)) if len(values) else values for values in (at.size, at.tokens))
    facts = np.log10(at.facts)
    covariates = np.column_stack([np.ones(len(n)), n, d, facts])
    rank = int(np.linalg.matrix_rank(covariates, tol=1e-3))
    if len(n) < rank + LEAST_FREE:
        return None
    draws = fit.draws(SIMULATIONS, rng)
    root = 1 / np.hypot(data.spread[seen], np.median(draws[:, -1]))
    basis = np.linalg.svd(covariates * root[:, None], full_matrices=False)[0][:, :rank]
    names, terms = _terms(n, d, covariates, root, basis)
    if not names:
        return None
    middle = fit.form.x(draws[:, :-1], at)
    spread = np.hypot(data.spread[seen], draws[:, -1:])
    if seen.all():
        again = middle + spread * rng.standard_normal(middle.shape)
    else:
        low, high = (ndtr((end - middle) / spread) for end in data.window)
        again = middle + spread * ndtri(np.clip(low + (high - low) * rng.random(middle.shape), 1e-12, 1 - 1e-12))
    found, simulated = (_follows(y * root, basis, terms) for y in (data.middle[seen][None], again))
    above = (simulated.max(1) >= found.max()).sum()
    return Misfit(names[int(found.argmax())], float((1 + above) / (1 + SIMULATIONS)))


def _terms(n: Array, d: Array, covariates: Array, root: Array, basis: Array) -> tuple[list[Term], Array]:
    """Names of the terms that the design can tell, and what the covariates leave of each, of length 1 (n, T)."""
    crossed = np.linalg.matrix_rank(covariates[:, :3], tol=1e-3) == 3
    names: list[Term] = []
    found: list[Array] = []
    for name, term in (("product", n * d), ("size", n * n), ("tokens", d * d)):
        if (name == "product" and not crossed) or left_over(term, covariates).std() < TOLD / 2:
            continue
        rest = term * root
        rest = rest - basis @ (basis.T @ rest)
        rest = rest / np.linalg.norm(rest)
        if all(abs(rest @ other) < 0.98 for other in found):
            names.append(name)  # type: ignore[arg-type]
            found.append(rest)
    return names, np.column_stack(found) if found else np.empty((len(n), 0))


def _follows(y: Array, basis: Array, terms: Array) -> Array:
    """R^2 of the residuals of weighted y (R, n) with each term: (R, T)."""
    residual = y - (y @ basis) @ basis.T
    return np.asarray((residual @ terms) ** 2 / np.maximum((residual**2).sum(1), 1e-30)[:, None])
