"""The dose to advise: the highest expected recall that the constraints leave.

    score(x) = g + R (P - g) F + R (floor - g) (1 - F)
    R = clip((x - a) / v, 0, 1),  F = clip((c + w - x) / w, 0, 1)

The acquisition a, the collapse c, the plateau P and the widths v, w are drawn from the law, independently, so the
expected recall is that of the means: E[R] and E[F] over draws.

A constraint (`limits`) binds when it costs more than GOOD_ENOUGH of expected recall; where none does, the smallest
dose within GOOD_ENOUGH of the highest is advised, because more text would buy nothing. Were the study repeated, its
law would lie elsewhere: each predictive distribution is shifted by one of its own draws less its median, and the same
rule applied. That is the dose's interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from infusionlaw.law.dose import LEVEL, Array, Interval
from infusionlaw.law.planning.at_target import AtTarget
from infusionlaw.law.planning.forecast import recall_at
from infusionlaw.law.planning.limits import (
    LEAST_X,
    LOWEST,
    TRIED_LIMIT,
    Limit,
    limits,
    of_losses_alone,
    tightest,
    works,
)
from infusionlaw.law.scores.plateaus import widths
from infusionlaw.runs.outcomes import ACQUISITION, COLLAPSE

DOSE_STEP, GOOD_ENOUGH = 0.01, 0.005
KNOT_DRAWS, REPEATS, PLATEAU_DRAWS = 1000, 200, 4000
FAR_BEYOND = 3.0


@dataclass(frozen=True)
class Advice:
    """The dose in x with its interval, the constraint that binds it ("" for none), recall there, and all limits."""

    status: Literal["ok", "no dose works", "no law", "no limit"]
    x: Interval
    binding: str
    recall: Interval
    limits: tuple[Limit, ...]


def advise(at: AtTarget) -> Advice:
    """The dose for a target; none when the law says too little, or when no dose that teaches the facts is allowed.

    Without a law of acquisition it is the largest dose allowed, and recall there is unknown. So it is for a number of
    facts, where recall is known: each is stated as often as any.
    """
    law, found = at.law, limits(at)
    limit, learnable = tightest(found), bool(law.of(ACQUISITION.name).forms)
    if at.target.tolerance is None and of_losses_alone(law):
        return Advice("no limit", Interval(), "", Interval(), found)
    told = learnable or law.of(COLLAPSE.name).forms or any(each.of_tolerance for each in found)
    if limit.x == np.inf or not told:
        return Advice("no law", Interval(), "", Interval(), found)
    if not learnable and limit.x <= LEAST_X:
        return Advice("no dose works", Interval(), limit.name, Interval(), found)
    if not learnable:
        x = Interval(limit.x, *_ends(_shifted(found, _repeats(found))))
        recall = recall_at(at, limit.x) if law.unit == "facts" else Interval()
        return Advice("ok", _bounded(x, limit), limit.name, recall, found)
    if not works(at):
        return Advice("no dose works", Interval(), limit.name, Interval(), found)
    return _highest(at, found)


def _highest(at: AtTarget, found: tuple[Limit, ...]) -> Advice:
    """The allowed dose of highest expected recall."""
    limit = tightest(found)
    # What would be learned far beyond the limit, or never, is not learned below it: one as much as the other.
    acquisition = np.minimum(at.draws(ACQUISITION.name), limit.x + FAR_BEYOND)
    curve, repeats = _curve(at, limit.x, acquisition), _repeats(found)
    best, binds = curve.best(np.zeros(1), np.zeros(1), np.array([limit.x]))
    risen = _picked(acquisition - np.median(acquisition), len(found))
    others, _ = curve.best(risen, repeats[COLLAPSE.title], _shifted(found, repeats))
    x = _bounded(Interval(float(best[0]), *_ends(others)), limit)
    recall = recall_at(at, float(best[0]))
    return Advice("ok", x, limit.name if binds[0] else "", recall, found)


def _bounded(x: Interval, limit: Limit) -> Interval:
    """The dose without an interval where it is merely one that was tried: no repeat says how far off the limit is."""
    tried = limit.name == TRIED_LIMIT or limit.name.startswith(LOWEST)
    return Interval(x.value) if tried and x.value == limit.x else x


def _repeats(found: Sequence[Limit]) -> dict[str, Array]:
    """How far each limit moves (REPEATS,) in repeats of the study; one seed each, so that they move apart."""
    return {limit.name: _picked(limit.shifts, seed) for seed, limit in enumerate(found)}


def _shifted(found: Sequence[Limit], repeats: dict[str, Array]) -> Array:
    """The tightest limit (REPEATS,) in each repeat."""
    return np.asarray(np.min([limit.x + repeats[limit.name] for limit in found], axis=0))


def _picked(values: Array, seed: int) -> Array:
    """REPEATS of the values, evenly over their quantiles, in an order of their own."""
    even = np.quantile(values, (np.arange(REPEATS) + 0.5) / REPEATS)
    return np.asarray(np.random.default_rng(seed).permutation(even))


def _ends(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class _Curve:
    """Means over draws of R and F on ascending doses x (G,), and the levels that they lead to."""

    x: Array
    learned: Array
    kept: Array
    guessing: float
    plateau: float
    floor: float

    def best(self, risen: Array, fallen: Array, limit: Array) -> tuple[Array, Array]:
        """The dose to take (K,), and whether its limit binds, with acquisition and collapse shifted by so much (K,)."""
        learned = np.interp(self.x - risen[:, None], self.x, self.learned)
        kept = np.interp(self.x - fallen[:, None], self.x, self.kept)
        score = learned * (self.floor - self.guessing + (self.plateau - self.floor) * kept)
        inside = np.where(self.x <= limit[:, None], score, -1.0)
        good = score.max(1) - GOOD_ENOUGH
        binds = inside.max(1) < good
        first = (inside >= np.where(binds, inside.max(1), good)[:, None]).argmax(1)
        # The limit lies between two doses of the grid: where recall rises right up to it, it is the limit itself.
        last = np.maximum((self.x <= limit[:, None]).sum(1) - 1, 0)
        return np.where(binds & (first == last), limit, np.minimum(self.x[first], limit)), binds


def _curve(at: AtTarget, limit: float, acquisition: Array) -> _Curve:
    """Expected R and F from below the first acquisition to beyond the last, and at least to the limit."""
    collapse, plateaus, target = at.draws(COLLAPSE.name), at.recall, at.target
    low, high = np.quantile(acquisition, [0.005, 0.995])
    x = np.arange(min(low, limit) - DOSE_STEP, max(high, limit) + 2.0, DOSE_STEP)
    learned = _mean_rise(x, _even(acquisition), widths(plateaus.rise if plateaus else None, 0, KNOT_DRAWS))
    kept = np.ones(len(x))
    if len(collapse):
        kept = 1 - _mean_rise(x, _even(collapse), widths(plateaus.fall if plateaus else None, 1, KNOT_DRAWS))
    if plateaus is None:  # without levels, the part of the way from guessing to the plateau
        return _Curve(x, learned, kept, 0.0, 1.0, 0.0)
    plateau = float(plateaus.plateau(target.size, target.tokens, PLATEAU_DRAWS, np.random.default_rng(2)).mean())
    guessing = plateaus.guessing
    return _Curve(x, learned, kept, guessing, plateau, float(np.clip(plateaus.floor.mean, guessing, plateau)))


def _even(values: Array) -> Array:
    """KNOTS of the values, evenly over their quantiles."""
    return np.asarray(np.quantile(values, (np.arange(KNOT_DRAWS) + 0.5) / KNOT_DRAWS))


def _mean_rise(x: Array, knot: Array, width: Array) -> Array:
    """The mean over draws of a rise at x (G,)."""
    return np.asarray(np.clip((x[:, None] - knot) / width, 0, 1).mean(1))
