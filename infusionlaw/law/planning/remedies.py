"""What would make a dose work, and how many facts there is room for: the same computation at other targets.

A target is changed in one thing, step by step, until some allowed dose lies beyond acquisition (`works`); the step is
then halved down to a hundredth of a dex. Every number is rounded to the safe side and checked again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from infusionlaw.law.dose import LEVEL, Interval
from infusionlaw.law.planning.limits import Target, draws, limits, text_of, tightest, works
from infusionlaw.law.scaling.law import Law

Change = Literal["fewer facts", "shorter statements", "more tokens", "a larger model", "a higher tolerance"]
COARSE, FINE, MOST = 0.1, 0.001, 1000.0
ROOM = 1e4


@dataclass(frozen=True)
class Remedy:
    """One change to the target and the value it needs; None: none up to MOST times the target's would do."""

    change: Change
    value: float | None


def remedies(law: Law, target: Target) -> tuple[Remedy, ...]:
    """What would make a dose work where none does.

    A change that would not is left out, but for tokens and size; of those, one that the study did not vary is left out,
    because nothing is known of what it does.
    """
    facts, length, varied = target.facts, target.tokens_per_fact, law.of("acquisition").varied
    less = [
        Remedy("fewer facts", _changed(law, target, "facts", facts, 1.0)),
        Remedy("shorter statements", _changed(law, target, "tokens_per_fact", length, 1.0)),
        Remedy("a higher tolerance", _tolerance(law, target)),
    ]
    more: tuple[tuple[Change, str, float], ...] = (
        ("more tokens", "tokens", target.tokens),
        ("a larger model", "size", target.size),
    )
    return (
        *(remedy for remedy in less if remedy.value is not None),
        *(Remedy(c, _changed(law, target, name, own, own * MOST)) for c, name, own in more if name in varied),
    )


def _changed(law: Law, target: Target, name: str, start: float | None, end: float) -> float | None:
    """The value of `name` nearest to `start` on the way to `end` at which some dose works."""

    def good(value: float) -> bool:
        return works(law, replace(target, **{name: value}))

    value = _first(good, start, end) if start is not None else None
    if value is None:
        return None
    rounded = float(math.floor(value)) if name == "facts" and value < 1000 else _rounded(value, up=end > value)
    return rounded if good(rounded) else value


def _tolerance(law: Law, target: Target) -> float | None:
    """The tolerance at which acquisition is allowed, where validation loss alone stands in the way."""
    limit = tightest(limits(law, target))
    if law.cost is None or limit.name != "validation loss":
        return None
    x = text_of(law, target, float(np.median(draws(law, "acquisition", target))))
    if x == np.inf:
        return None
    rise = _rounded(float(law.cost.rise(target.size, target.tokens, x).mean()) * 1.001, up=True)
    return rise if works(law, replace(target, tolerance=rise)) else None


def _first(good: Callable[[float], bool], start: float, end: float) -> float | None:
    """The first value on the way from start to end, in equal ratios, that is good; to within FINE dex."""
    steps = max(math.ceil(abs(math.log10(end / start)) / COARSE), 1)
    bad = start
    for i in range(steps + 1):
        value = start * (end / start) ** (i / steps)
        if good(value):
            return _between(good, bad, value)
        bad = value
    return None


def _between(good: Callable[[float], bool], bad: float, fine: float) -> float:
    """A good value within FINE dex of a bad one, by bisection; `fine` where both are one."""
    while abs(math.log10(fine / bad)) > FINE:
        middle = math.sqrt(bad * fine)
        bad, fine = (bad, middle) if good(middle) else (middle, fine)
    return fine


def _rounded(value: float, up: bool) -> float:
    """Three significant digits, away from where it does not work."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{(math.ceil if up else math.floor)(round(value / unit, 6)) * unit:.3g}")


def room(law: Law, target: Target, x: float) -> Interval:
    """The most facts that as much infused text as at x still states often enough to begin to be learned.

    90 % interval; an end beyond ROOM times the target's facts either way is None. All None where facts are unknown.
    """
    facts = target.facts
    if facts is None or not law.of("acquisition").forms:
        return Interval()

    def taught(count: float, quantile: float) -> bool:
        other = replace(target, facts=count)
        dose = x if law.unit == "share" else x - math.log10(count / facts)
        return float(np.quantile(draws(law, "acquisition", other), quantile, method="inverted_cdf")) <= dose

    def most(quantile: float) -> float | None:
        found = _first(lambda count: taught(count, quantile), facts * ROOM, facts / ROOM)
        return None if found == facts * ROOM else found

    return Interval(most(0.5), most((1 + LEVEL) / 2), most((1 - LEVEL) / 2))
