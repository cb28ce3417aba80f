"""Which form of law to believe: by what each says of the largest models when fitted without them.

A form is fitted to the points without the largest size (and, where several were tried, without the largest budget) and
scored by the log predictive density of the points left out, jointly. Those scores add up to the form's weight,

    weight ~ prior * exp(sum over what was left out of log p(left out | rest, form)),

where the general power law has half of the prior weight: the others are mostly special cases of it, and where the
points say little (a largest size that is only a bound) they would win by number and be too sure. Predictions are
mixtures over forms, so not knowing the form is part of every interval. This is extrapolation, which is what a law is
for; fit within the range hardly tells forms apart. Where nothing can be left out, because no more than two sizes and
two budgets were tried, the form's marginal likelihood takes the place of the scores: what its priors predict of all
points.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from infusionlaw.law.causes import SAME, distinct
from infusionlaw.law.dose import Array
from infusionlaw.law.forms import Form, PowerLaw
from infusionlaw.law.posterior import Evidence, Mask, log_evidence, sample

DRAWS = 1000


def weights(forms: Sequence[Form], data: Evidence, rng: np.random.Generator) -> Array:
    """Weight of each form (F,), adding up to 1."""
    if len(forms) == 1:
        return np.ones(1)
    total = log_prior_weight(forms)
    for out in (masks := left_out(data)):
        total += [score(form, data, out, rng) for form in forms]
    if not masks:
        total += [log_evidence(form, data, rng) for form in forms]
    weight = np.exp(total - total.max())
    return np.asarray(weight / weight.sum())


def log_prior_weight(forms: Sequence[Form]) -> Array:
    """Log weight of each form (F,) at the outset: half for the general power law, the rest shared evenly."""
    general = np.array([isinstance(form, PowerLaw) for form in forms])
    return np.asarray(np.log(np.where(general, 0.5 / max(general.sum(), 1), 0.5 / max((~general).sum(), 1))))


def left_out(data: Evidence) -> list[Mask]:
    """Masks (n,) of points to leave out: the largest size, the largest budget, where two or more others remain."""
    found = []
    for values in (data.at.size, data.at.tokens):
        if distinct(values) >= 3:
            found.append(values > values.max() / SAME)
    return found


def score(form: Form, data: Evidence, out: Mask, rng: np.random.Generator) -> float:
    """Log predictive density of the points in `out`, by a fit of the form to the others."""
    draws, rest = sample(form, data.take(~out), DRAWS, rng), data.take(out)
    each = rest.log_likelihood(form.x(draws[:, :-1], rest.at), np.log(draws[:, -1])).sum(1)
    return float(logsumexp(each) - np.log(len(each)))
