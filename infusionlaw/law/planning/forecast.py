"""What to expect of a target at any dose: each outcome with a 90 % interval.

    score = (1 - R) zero + R (floor + (plateau - floor) F)
    R = clip((x - a) / v, 0, 1),  F = clip((c + w - x) / w, 0, 1)

R: how far the domain facts are learned (acquisition a, width v); F: what is left beyond a collapse (place c, width w);
zero: of recall guessing, of other scores the one at dose 0 (`ZeroDose`). These follow the same R, because it is what
states the facts that teaches prior facts their form, and fall at a place of their own. Validation loss is that of one
run at dose 0 with the rise of a dose (`Cost`). All are drawn independently. Where a collapse has no law, nothing is
said of doses beyond those that every curve was cleared of one up to.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from infusionlaw.law.dose import Array, Interval, Scale, log_odds, share_of
from infusionlaw.law.losses.law import LARGEST_SHARE
from infusionlaw.law.planning.at_target import AtTarget
from infusionlaw.law.planning.limits import clear
from infusionlaw.law.points.curves import OTHER_FACTS
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scores.cost import COST_DRAWS as COST_DRAWS
from infusionlaw.law.scores.plateaus import Plateaus, widths
from infusionlaw.law.uncertainty import expected, interval_of
from infusionlaw.runs.outcomes import ACQUISITION, OUTCOMES, Outcome
from infusionlaw.runs.record import DoseUnit

FORECAST_DRAWS = 4000
ADVISED, FOUR = "the advised dose", "four times"
LOOKED_AT = {"a quarter": 0.25, ADVISED: 1.0, FOUR: 4.0}


@dataclass(frozen=True)
class Forecast:
    """What to expect at a dose, given in both units where they are known: each outcome's interval, by its name.

    An outcome of which nothing can be said has an interval without a value. facts: the dose where it is their number.
    changes: of outcomes and losses against the start that runs begin from, by name.
    """

    name: str
    share: float | None
    exposures: float | None
    scores: dict[str, Interval]
    facts: float | None = None
    changes: dict[str, Interval] = field(default_factory=dict)

    def in_unit(self, unit: DoseUnit) -> float | None:
        """The dose in a unit; None where that is not known."""
        found: float | None = getattr(self, unit)
        return found


def forecasts(at: AtTarget, x: float | None) -> tuple[Forecast, ...]:
    """What to expect at no dose, and at a quarter of a dose x, at x and at four times it; no facts give no score.

    Four times goes no further than a share of LARGEST_SHARE, or where the share is unknown than the largest dose tried.
    """
    none = () if at.law.unit == "facts" else (forecast(at, -np.inf, "no dose"),)
    if x is None:
        return none
    doses = {name: _times(at, x, factor) for name, factor in LOOKED_AT.items()}
    return (*none, *(forecast(at, dose, name) for name, dose in doses.items() if name != FOUR or dose > x))


def _times(at: AtTarget, x: float, factor: float) -> float:
    """x of so many times the dose."""
    if at.law.unit == "share":
        share = float(share_of(x)) * factor
        return float(log_odds(share if factor <= 1 else min(share, LARGEST_SHARE)))
    per_share = at.scale.per_share
    most = LARGEST_SHARE * per_share if per_share else at.law.doses[1]
    return float(x + np.log10(factor) if factor <= 1 else min(x + np.log10(factor), np.log10(most)))


def forecast(at: AtTarget, x: float, name: str = "") -> Forecast:
    """What to expect at a dose x; -inf is none."""
    scores = {outcome.name: _expected(at, x, outcome) for outcome in at.law.outcomes}
    share, exposures, facts = (told(Interval(x)).value for told in (at.scale.share, at.scale.exposures, at.scale.facts))
    return Forecast(name, share, exposures, scores, facts, _since_start(at, x))


def _since_start(at: AtTarget, x: float) -> dict[str, Interval]:
    """How much each outcome and loss changes against the start at a dose; those of which nothing is known left out."""
    law, target = at.law, at.target
    dose = float(Scale(law.unit).dose(at.text_of(x)))
    losses = {loss.loss: loss for loss in law.losses if loss.since == "the start" and loss.surfaces}
    found = {
        name: interval_of(drawn)
        for name, changes in law.changes.items()
        if name not in losses and len(drawn := changes.draws(dose, target.size, target.tokens, FORECAST_DRAWS, 10))
    }
    shares = {name: interval_of(loss.change(target.size, target.tokens, dose)[:, 0]) for name, loss in losses.items()}
    return found | shares


def _expected(at: AtTarget, x: float, outcome: Outcome) -> Interval:
    if outcome.point("learned"):
        return recall_at(at, x, outcome)
    if lost := outcome.point("lost"):
        return _kept_at(at, x, outcome.name, lost.name)
    return _loss_at(at, x)


def recall_at(at: AtTarget, x: float, outcome: Outcome = OUTCOMES["recall"]) -> Interval:
    """What is learned from a dose: expected, and the 90 % interval of the model's own; all None without plateaus."""
    learned, lost = outcome.point("learned"), outcome.point("lost")
    plateaus = at.law.plateaus.get(lost.name) if lost else None
    if plateaus is None or learned is None or lost is None:
        return Interval()
    zero = _zero_at(at, outcome.name)
    if zero is None:
        own = np.random.default_rng(7).normal(0, OTHER_FACTS, FORECAST_DRAWS)
        zero = np.clip(plateaus.guessing + own, 0, 1)
    return _score(at, x, plateaus, lost.name, zero, learned.name)


def _kept_at(at: AtTarget, x: float, name: str, kind: Kind) -> Interval:
    """A score that is known before the dose, and can be lost."""
    plateaus, zero = at.law.plateaus.get(kind), _zero_at(at, name)
    if plateaus is None or zero is None:
        return Interval()
    return _score(at, x, plateaus, kind, zero)


def _zero_at(at: AtTarget, name: str) -> Array | None:
    """Draws of a score at dose 0; None where it was not measured, or is what guessing gives."""
    line = at.law.zero_dose.scores.get(name) if at.law.zero_dose else None
    if line is None:
        return None
    return np.asarray(expit(line.draws(at.target.size, at.target.tokens, FORECAST_DRAWS, 8)))


def _loss_at(at: AtTarget, x: float) -> Interval:
    """Its median, because far away the mean of what it could be is not finite. Without a law of the rise: at dose 0."""
    law, target = at.law, at.target
    zero = law.zero_dose.loss(target.size, target.tokens, COST_DRAWS, 9) if law.zero_dose else None
    if zero is None or (law.cost is None and np.isfinite(x)):
        return Interval()
    rise = law.cost.rise(target.size, target.tokens, at.text_of(x))[:, 0] if law.cost else 0.0
    return interval_of(zero + rise)


def _score(
    at: AtTarget, x: float, plateaus: Plateaus, kind: Kind, zero: Array, learned_at: Kind = ACQUISITION.name
) -> Interval:
    """A share of right answers at x; all None where it hangs on an acquisition or a collapse that has no law."""
    law, target = at.law, at.target
    if x == -np.inf:
        return expected(zero)
    taught = law.unit == "facts"  # each is stated equally often, however many they are
    unknown = not taught and not law.of(learned_at).forms
    if unknown or (not law.of(kind).forms and at.text_of(x) > clear(law, kind)):
        return Interval()
    rng = np.random.default_rng(3)
    rise = at.recall.rise if at.recall and learned_at == ACQUISITION.name else plateaus.rise
    learned = 1.0 if taught else _past(x, at.draws(learned_at), widths(rise, 4, FORECAST_DRAWS), rng)
    left = 1 - _past(x, at.draws(kind), widths(plateaus.fall, 5, FORECAST_DRAWS), rng)
    plateau = plateaus.plateau(target.size, target.tokens, FORECAST_DRAWS, np.random.default_rng(2))
    floor = np.clip(
        plateaus.floor.mean + plateaus.floor.sd * rng.standard_normal(FORECAST_DRAWS), plateaus.guessing, plateau
    )
    return expected(zero + learned * (floor - zero + (plateau - floor) * left))


def _past(x: float, knots: Array, width: Array, rng: np.random.Generator) -> Array:
    """How far x lies beyond knots drawn evenly over their quantiles, in widths, 0..1; 0 where there are no knots."""
    if not len(knots):
        return np.zeros(FORECAST_DRAWS)
    even = np.quantile(knots, (np.arange(FORECAST_DRAWS) + 0.5) / FORECAST_DRAWS, method="inverted_cdf")
    return np.asarray(np.clip((x - rng.permutation(even)) / width, 0, 1))
