"""What to expect of a target at any dose: recall, retention and validation loss, each with a 90 % interval.

    score = (1 - R) zero + R (floor + (plateau - floor) F)
    R = clip((x - a) / v, 0, 1),  F = clip((c + w - x) / w, 0, 1)

R: how far the domain facts are learned (acquisition a, width v); F: what is left beyond a collapse (place c, width w);
zero: of recall guessing, of retention the score at dose 0 (`law.zero_dose`). Retention follows the same R, because it
is what states the facts that teaches prior facts their form, and falls at a place of its own. Validation loss is that
of one run at dose 0 with the rise of a dose (`law.cost`). All are drawn independently. Where a collapse has no law,
nothing is said of doses beyond those that every curve was cleared of one up to.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from infusionlaw.law.dose import Array, Interval, log_odds, share_of
from infusionlaw.law.planning.limits import MOST, Target, clear, draws, text_of
from infusionlaw.law.points.curves import OTHER_FACTS
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import Law
from infusionlaw.law.scores.cost import DRAWS as COST_DRAWS
from infusionlaw.law.scores.plateaus import Plateaus, widths
from infusionlaw.law.uncertainty import expected, interval_of

DRAWS = 4000
ADVISED, FOUR = "the advised dose", "four times"
STEPS = {"a quarter": 0.25, ADVISED: 1.0, FOUR: 4.0}


@dataclass(frozen=True)
class Forecast:
    """What is to be expected at a dose, given in both units where they are known; all None of a score that is not."""

    name: str
    share: float | None
    exposures: float | None
    recall: Interval
    retention: Interval
    val_bpb: Interval


def forecasts(law: Law, target: Target, x: float | None) -> tuple[Forecast, ...]:
    """What to expect at no dose, and at a quarter of a dose x, at x and at four times it.

    Four times goes no further than a share of MOST, or where the share is unknown than the largest dose tried.
    """
    none = forecast(law, target, -np.inf, "no dose")
    if x is None:
        return (none,)
    doses = {name: _times(law, target, x, factor) for name, factor in STEPS.items()}
    return (none, *(forecast(law, target, dose, name) for name, dose in doses.items() if name != FOUR or dose > x))


def _times(law: Law, target: Target, x: float, factor: float) -> float:
    """x of so many times the dose."""
    if law.unit == "share":
        share = float(share_of(x)) * factor
        return float(log_odds(share if factor <= 1 else min(share, MOST)))
    per_share = law.scale(target.tokens, target.facts).per_share
    most = MOST * per_share if per_share else law.doses[1]
    return float(x + np.log10(factor) if factor <= 1 else min(x + np.log10(factor), np.log10(most)))


def forecast(law: Law, target: Target, x: float, name: str = "") -> Forecast:
    """What to expect at a dose x; -inf is none."""
    scale = law.scale(target.tokens, target.facts)
    return Forecast(
        name,
        scale.share(Interval(x)).value,
        scale.exposures(Interval(x)).value,
        recall_at(law, target, x),
        _retention_at(law, target, x),
        _loss_at(law, target, x),
    )


def recall_at(law: Law, target: Target, x: float) -> Interval:
    """Recall at a dose: expected, and the 90 % interval of the model's own; all None without plateaus."""
    if law.plateaus is None:
        return Interval()
    own = np.random.default_rng(7).normal(0, OTHER_FACTS, DRAWS)
    return _score(law, target, x, law.plateaus, "collapse", np.clip(law.plateaus.guessing + own, 0, 1))


def _retention_at(law: Law, target: Target, x: float) -> Interval:
    line = law.zero_dose.retention if law.zero_dose else None
    if law.retention_plateaus is None or line is None:
        return Interval()
    zero = np.asarray(expit(line.draws(target.size, target.tokens, DRAWS, 8)))
    return _score(law, target, x, law.retention_plateaus, "retention", zero)


def _loss_at(law: Law, target: Target, x: float) -> Interval:
    """Its median, because far away the mean of what it could be is not finite. Without a law of the rise: at dose 0."""
    bare = law.zero_dose.loss(target.size, target.tokens, COST_DRAWS, 9) if law.zero_dose else None
    if bare is None or (law.cost is None and np.isfinite(x)):
        return Interval()
    rise = law.cost.rise(target.size, target.tokens, text_of(law, target, x))[:, 0] if law.cost else 0.0
    return interval_of(bare + rise)


def _score(law: Law, target: Target, x: float, plateaus: Plateaus, kind: Kind, zero: Array) -> Interval:
    """A share of right answers at x; all None where it hangs on an acquisition or a collapse that has no law."""
    if x == -np.inf:
        return expected(zero)
    if not law.of("acquisition").forms or (not law.of(kind).forms and text_of(law, target, x) > clear(law, kind)):
        return Interval()
    rng = np.random.default_rng(3)
    rise = law.plateaus.rise if law.plateaus else plateaus.rise
    learned = _past(x, draws(law, "acquisition", target), widths(rise, 4, DRAWS), rng)
    left = 1 - _past(x, draws(law, kind, target), widths(plateaus.fall, 5, DRAWS), rng)
    plateau = plateaus.plateau(target.size, target.tokens, DRAWS, np.random.default_rng(2))
    floor = np.clip(plateaus.floor.mean + plateaus.floor.sd * rng.standard_normal(DRAWS), plateaus.guessing, plateau)
    return expected(zero + learned * (floor - zero + (plateau - floor) * left))


def _past(x: float, knots: Array, width: Array, rng: np.random.Generator) -> Array:
    """How far x lies beyond knots drawn evenly over their quantiles, in widths, 0..1; 0 where there are no knots."""
    if not len(knots):
        return np.zeros(DRAWS)
    even = np.quantile(knots, (np.arange(DRAWS) + 0.5) / DRAWS, method="inverted_cdf")
    return np.asarray(np.clip((x - rng.permutation(even)) / width, 0, 1))
