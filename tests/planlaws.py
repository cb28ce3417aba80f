"""Laws whose predictive distributions are known exactly, for the tests of plans."""

from dataclasses import replace

import numpy as np

from infusionlaw.law.dose import Interval
from infusionlaw.law.points.detect import Level
from infusionlaw.law.scaling.forms import PowerLaw
from infusionlaw.law.scaling.law import FittedForm, KindLaw, Law
from infusionlaw.law.scores.cost import Cost
from infusionlaw.law.scores.plateaus import Plateaus
from infusionlaw.runs.outcomes import kinds
from infusionlaw.runs.record import DoseUnit

SIZE0, TOKENS0 = 2e4, 1.5e6
SIZES, TOKEN_COUNTS = (1e4, 2e4, 4e4), (7.5e5, 1.5e6, 3e6)
# x at (SIZE0, TOKENS0), standard deviation of the draws, exponents of size and of tokens.
Where = tuple[float, float, float, float]
NEVER = "a law needs at least two located points, and none was located"


def known_law(
    acquisition: Where | None = (-1.0, 0.1, 0.0, 0.0),
    collapse: Where | None = (1.0, 0.1, 0.0, 0.0),
    retention: Where | None = None,
    *,
    tolerance: Where | None = None,
    cost: Cost | None = None,
    plateaus: bool = True,
    facts: float | None = 100.0,
    tokens_per_fact: float | None = 15.0,
    unit: DoseUnit = "share",
    largest: float = 0.9,
) -> Law:
    """A law with given places of its points, plateau near .9 (guessing .1, floor .2), rise .3 and fall .5 dex wide."""
    wheres = {"acquisition": acquisition, "collapse": collapse, "retention": retention, "tolerance": tolerance}
    laws = tuple(
        replace(_kind(kind, where), facts=facts, tokens_per_fact=tokens_per_fact) for kind, where in wheres.items()
    )
    levels = {name: Level(mean, 0.01) for name, mean in (("floor", 0.2), ("rise", -0.523), ("fall", -0.301))}
    covariance = tuple(tuple(row) for row in np.diag([0.01, 1e-6, 1e-6]).tolist())
    found = {"collapse": Plateaus(SIZE0, TOKENS0, (2.0, 0.0, 0.0), covariance, 0.1, **levels)} if plateaus else {}
    return Law(unit, laws, SIZES, TOKEN_COUNTS, (0.01, largest), facts, tokens_per_fact, "0" * 64, found, cost)


def _kind(kind, where: Where | None) -> KindLaw:
    if where is None:
        return KindLaw(kind, "not fitted", NEVER, (), ())
    at, sd, size, tokens = where
    normal = np.random.default_rng(kinds().index(kind)).standard_normal(500)
    draws = tuple((float(at + sd * z), size, tokens, 0.01) for z in (normal - normal.mean()) / normal.std())
    form = PowerLaw(SIZE0, TOKENS0, 100.0)
    fitted = FittedForm(form, 1.0, {name: Interval() for name in form.parameters}, draws)
    return KindLaw(kind, "fitted", "", (fitted,), (), ("size", "tokens"))


def known_cost(scale: float, bend: float = 0.1, tokens: float = 0.0, unit: DoseUnit = "share") -> Cost:
    """A cost whose rise is scale * ((1 - share)^-bend - 1) (or scale * k^bend), known to 2 %."""
    covariance = tuple(tuple(row) for row in np.diag([4e-4, 1e-8, 1e-8, 1e-8]).tolist())
    return Cost(unit, SIZE0, TOKENS0, (float(np.log(scale)), 0.0, tokens, float(np.log(bend))), covariance)
