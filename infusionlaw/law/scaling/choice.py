"""Which form of law to believe: by how well each predicted the points before it saw them.

The weight of a form is its weight at the outset times the marginal likelihood of all points,

    weight ~ prior * integral of p(points | theta, sigma) prior(theta, sigma)

The power law has most of the prior weight. The law whose exponent of size changes with tokens has nearly all of the
rest, where the design can tell it: a dozen points often cannot tell the two apart, and far away they differ. The other
forms are special cases of the power law. They would win by simplicity where points are few, and then a prediction far
away would hardly move, so they share little. Predictions are mixtures over forms, so not knowing the form is part of
every interval.
"""

from collections.abc import Sequence

import numpy as np

from infusionlaw.law.dose import Array
from infusionlaw.law.scaling.forms import Form, InteractionLaw, PowerLaw
from infusionlaw.law.scaling.posterior import Posterior

# Weights at the outset of the interaction and of all simpler forms together; the power law has the rest.
INTERACTION, SIMPLE = 0.15, 0.05


def weights(fits: Sequence[Posterior]) -> Array:
    """Return the weight of each fitted form (F,), adding up to 1."""
    total = log_prior_weight([fit.form for fit in fits]) + [fit.log_evidence for fit in fits]
    weight = np.exp(total - total.max())
    return np.asarray(weight / weight.sum())


def log_prior_weight(forms: Sequence[Form]) -> Array:
    """Return the log weight of each form (F,) at the outset. What a missing form would have goes to the others."""
    general = np.array([isinstance(form, PowerLaw) for form in forms])
    product = np.array([isinstance(form, InteractionLaw) for form in forms])
    simple = ~general & ~product
    each = INTERACTION * product + SIMPLE / max(simple.sum(), 1) * simple + (1 - INTERACTION - SIMPLE) * general
    return np.asarray(np.log(each / each.sum()))
