"""What would make a dose work, and how many facts there is room for: the same computation at other targets.

A target is changed in one thing, step by step, until some allowed dose lies beyond acquisition (`works`); the step is
then halved down to a hundredth of a dex. Every number is rounded to the safe side and checked again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from infusionlaw.law.dose import LEVEL, Interval
from infusionlaw.law.planning.at_target import AtTarget
from infusionlaw.law.planning.limits import LOSS_LIMIT, limits, tightest, works
from infusionlaw.runs.outcomes import ACQUISITION

Remediable = Literal["fewer facts", "shorter renderings", "more tokens", "a larger model", "a higher tolerance"]
COARSE_STEP, FINE_STEP, MOST_TIMES = 0.1, 0.001, 1000.0
ROOM_TIMES = 1e4


@dataclass(frozen=True)
class Remedy:
    """One change to the target and the value it needs; None: none up to MOST_TIMES times the target's would do."""

    change: Remediable
    value: float | None


def remedies(at: AtTarget) -> tuple[Remedy, ...]:
    """What would make a dose work where none does.

    A change that would not is left out, but for tokens and size; of those, one that the study did not vary is left out,
    because nothing is known of what it does.
    """
    target, varied = at.target, at.law.of(ACQUISITION.name).varied
    less = [
        Remedy("fewer facts", _changed(at, "facts", target.facts, 1.0)),
        Remedy("shorter renderings", _changed(at, "tokens_per_fact", target.tokens_per_fact, 1.0)),
        Remedy("a higher tolerance", _tolerance(at)),
    ]
    more: tuple[tuple[Remediable, str, float], ...] = (
        ("more tokens", "tokens", target.tokens),
        ("a larger model", "size", target.size),
    )
    return (
        *(remedy for remedy in less if remedy.value is not None),
        *(Remedy(c, _changed(at, name, own, own * MOST_TIMES)) for c, name, own in more if name in varied),
    )


def _changed(at: AtTarget, name: str, start: float | None, end: float) -> float | None:
    """The value of `name` nearest to `start` on the way to `end` at which some dose works."""

    def good(value: float) -> bool:
        return works(at.but(**{name: value}))

    value = _first(good, start, end) if start is not None else None
    if value is None:
        return None
    rounded = float(math.floor(value)) if name == "facts" and value < 1000 else _rounded(value, up=end > value)
    return rounded if good(rounded) else value


def _tolerance(at: AtTarget) -> float | None:
    """The tolerance at which acquisition is allowed, where validation loss alone stands in the way."""
    law, target, limit = at.law, at.target, tightest(limits(at))
    if law.cost is None or limit.name != LOSS_LIMIT:
        return None
    x = at.text_of(float(np.median(at.draws(ACQUISITION.name))))
    if x == np.inf:
        return None
    rise = _rounded(float(law.cost.rise(target.size, target.tokens, x).mean()) * 1.001, up=True)
    return rise if works(at.but(tolerance=rise)) else None


def _first(good: Callable[[float], bool], start: float, end: float, steps: int = 0) -> float | None:
    """The first value on the way from start to end, in equal ratios, that is good; to within FINE_STEP dex.

    steps: into which the way is cut (0: of COARSE_STEP); one is enough where what follows a good value is good.
    """
    steps = steps or max(math.ceil(abs(math.log10(end / start)) / COARSE_STEP), 1)
    bad = start
    for i in range(steps + 1):
        value = start * (end / start) ** (i / steps)
        if good(value):
            return _between(good, bad, value)
        bad = value
    return None


def _between(good: Callable[[float], bool], bad: float, fine: float) -> float:
    """A good value within FINE_STEP dex of a bad one, by bisection; `fine` where both are one."""
    while abs(math.log10(fine / bad)) > FINE_STEP:
        middle = math.sqrt(bad * fine)
        bad, fine = (bad, middle) if good(middle) else (middle, fine)
    return fine


def _rounded(value: float, up: bool) -> float:
    """Three significant digits, away from where it does not work."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{(math.ceil if up else math.floor)(round(value / unit, 6)) * unit:.3g}")


def room(at: AtTarget, x: float) -> Interval:
    """The most facts that as much infused text as at x still states often enough to begin to be learned.

    90 % interval; an end beyond ROOM_TIMES times the target's facts either way is None. All None where facts are
    unknown.
    """
    law, facts = at.law, at.target.facts
    if facts is None or not law.of(ACQUISITION.name).forms:
        return Interval()

    def taught(count: float, quantile: float) -> bool:
        dose = x if law.unit == "share" else x - math.log10(count / facts)
        return float(np.quantile(at.but(facts=count).draws(ACQUISITION.name), quantile, method="inverted_cdf")) <= dose

    varied = "facts" in law.of(ACQUISITION.name).varied  # else fewer facts always take less text

    def most(quantile: float) -> float | None:
        ends = facts * ROOM_TIMES, facts / ROOM_TIMES
        found = _first(lambda count: taught(count, quantile), *ends, steps=0 if varied else 1)
        return None if found == ends[0] else found

    return Interval(most(0.5), most((1 + LEVEL) / 2), most((1 - LEVEL) / 2))
