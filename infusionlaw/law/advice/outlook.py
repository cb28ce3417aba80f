"""What to expect of a target at any dose: recall, retention and general loss, each with a 90 % interval.

    score = (1 - R) zero + R (floor + (plateau - floor) F)
    R = clip((x - a) / v, 0, 1),  F = clip((c + w - x) / w, 0, 1)

R: how far the domain facts are learned (acquisition a, width v); F: what is left beyond a collapse (place c, width w);
zero: the score at dose 0, where it was measured, else guessing. Retention follows the same R, because it is what states
the facts that teaches prior facts their form, and falls at a place of its own. General loss is that at dose 0 with the
rise of a dose (`law.cost`). All are drawn independently.
"""

from dataclasses import dataclass, replace

import numpy as np

from infusionlaw.law.advice.limits import Target, draws, text_of
from infusionlaw.law.cost import DRAWS as COST_DRAWS
from infusionlaw.law.dose import Array, Interval, log_odds, share_of
from infusionlaw.law.heights import Heights, widths
from infusionlaw.law.law import Law
from infusionlaw.law.points.point import Kind
from infusionlaw.law.uncertainty import interval_of

DRAWS = 4000
ADVISED, FOUR, MOST = "the advised dose", "four times", 0.97
STEPS = {"a quarter": 0.25, ADVISED: 1.0, FOUR: 4.0}


@dataclass(frozen=True)
class Outlook:
    """What is to be expected at a dose, given in both units where they are known; all None of a score that is not."""

    name: str
    share: float | None
    exposures: float | None
    recall: Interval
    retention: Interval
    general_loss: Interval


def outlooks(law: Law, target: Target, x: float | None) -> tuple[Outlook, ...]:
    """What to expect at no dose, and at a quarter of a dose x, at x and at four times it (or a share of MOST)."""
    none = outlook(law, target, -np.inf, "no dose")
    if x is None:
        return (none,)
    doses = {name: _times(law, x, factor) for name, factor in STEPS.items()}
    return (none, *(outlook(law, target, dose, name) for name, dose in doses.items() if name != FOUR or dose > x))


def _times(law: Law, x: float, factor: float) -> float:
    """x of so many times the dose, no further than a share of MOST."""
    if law.unit == "exposures":
        return float(x + np.log10(factor))
    share = float(share_of(x)) * factor
    return float(log_odds(share if factor <= 1 else min(share, MOST)))


def outlook(law: Law, target: Target, x: float, name: str = "") -> Outlook:
    """What to expect at a dose x; -inf is none."""
    scale = law.scale(target.tokens, target.facts)
    at = Interval(x if np.isfinite(x) else -np.inf)
    return Outlook(
        name,
        scale.share(at).value,
        scale.exposures(at).value,
        recall_at(law, target, x),
        _retention_at(law, target, x),
        _loss_at(law, target, x),
    )


def recall_at(law: Law, target: Target, x: float) -> Interval:
    """Recall at a dose: expected, and the 90 % interval of the model's own; all None without heights."""
    if law.heights is None:
        return Interval()
    zero = law.bare.shares(law.bare.recall, target.size, target.tokens, DRAWS, 7) if law.bare else None
    return _score(law, target, x, law.heights, "collapse", zero)


def _retention_at(law: Law, target: Target, x: float) -> Interval:
    if law.kept is None or law.bare is None:
        return Interval()
    zero = law.bare.shares(law.bare.retention, target.size, target.tokens, DRAWS, 8)
    return _score(law, target, x, law.kept, "retention", zero)


def _loss_at(law: Law, target: Target, x: float) -> Interval:
    """Without a law of the rise only that of dose 0 is known."""
    bare = law.bare.losses(target.size, target.tokens, COST_DRAWS, 9) if law.bare else None
    if bare is None or (law.cost is None and np.isfinite(x)):
        return Interval()
    rise = law.cost.rise(target.size, target.tokens, text_of(law, target, x))[:, 0] if law.cost else 0.0
    return _interval(bare + rise)


def _score(law: Law, target: Target, x: float, heights: Heights, kind: Kind, zero: Array | None) -> Interval:
    """A share of right answers at x; all None where it hangs on an acquisition that has no law."""
    rng, guessing = np.random.default_rng(3), heights.guessing
    before = np.full(DRAWS, guessing) if zero is None else zero
    if x == -np.inf:
        return _interval(before)
    if not law.of("acquisition").forms:
        return Interval()
    rise = law.heights.rise if law.heights else heights.rise
    learned = _past(x, draws(law, "acquisition", target), widths(rise, 4, DRAWS), rng)
    left = 1 - _past(x, draws(law, kind, target), widths(heights.fall, 5, DRAWS), rng)
    plateau = heights.plateau(target.size, target.tokens, DRAWS, np.random.default_rng(2))
    floor = np.clip(heights.floor.mean + heights.floor.sd * rng.standard_normal(DRAWS), guessing, plateau)
    return _interval(before + learned * (floor - before + (plateau - floor) * left))


def _past(x: float, knots: Array, width: Array, rng: np.random.Generator) -> Array:
    """How far x lies beyond knots drawn evenly over their quantiles, in widths, 0..1; 0 where there are no knots."""
    if not len(knots):
        return np.zeros(DRAWS)
    even = np.quantile(knots, (np.arange(DRAWS) + 0.5) / DRAWS, method="inverted_cdf")
    return np.asarray(np.clip((x - rng.permutation(even)) / width, 0, 1))


def _interval(values: Array) -> Interval:
    """The mean and 90 % interval of draws."""
    return replace(interval_of(values), value=float(values.mean()))
