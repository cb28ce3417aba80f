"""Claims and how they are judged: a claim is an interval that was given for something whose truth is known.

A claim is held when its interval holds the truth. An open end reaches as far as it likes, and a truth that never
happens lies beyond every dose. A claim without any interval says nothing: it is counted, and neither held nor missed.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import median

from infusionlaw.law.dose import Interval

# A claim that says there is nothing to find, whatever interval comes with it.
SILENT = ("no effect", "not fitted")


@dataclass(frozen=True)
class Claim:
    """What was said of one point or prediction.

    what: its kind or target; truth: x, None where it never happens; within: whether that lies within the doses tried.
    """

    what: str
    status: str
    x: Interval
    truth: float | None
    within: bool
    detector: str

    @property
    def silent(self) -> bool:
        """Whether it says nothing."""
        return self.status in SILENT or self.x == Interval()

    @property
    def held(self) -> bool:
        """Whether the interval holds the truth."""
        low, high = _ends(self.x)
        return not self.silent and low <= (inf if self.truth is None else self.truth) <= high

    @property
    def names_a_place(self) -> bool:
        """Whether it says where, and not only that it lies beyond the doses."""
        return not self.silent and self.x.value is not None


Rate = tuple[float, float]


@dataclass(frozen=True)
class Tally:
    """Claims of one sort. error, width: medians in dex, None when there is none to take; width is inf when open.

    coverage: how often the interval held the truth, with its binomial standard error (as if claims were independent);
    within: the same where the truth lies within the doses tried; None when there is no interval.
    """

    claims: int
    judged: int
    coverage: Rate | None
    within: Rate | None
    error: float | None
    width: float | None
    statuses: Counter[str]
    false_places: int
    never: int


def tally(claims: Sequence[Claim]) -> Tally:
    """Count claims of one sort."""
    judged = [claim for claim in claims if not claim.silent]
    never = [claim for claim in claims if claim.truth is None]
    errors = [abs(c.x.value - c.truth) for c in judged if c.x.value is not None and c.truth is not None]
    widths = [high - low for low, high in (_ends(claim.x) for claim in judged)]
    return Tally(
        claims=len(claims),
        judged=len(judged),
        coverage=_rate(judged),
        within=_rate([claim for claim in judged if claim.within]),
        error=median(errors) if errors else None,
        width=median(widths) if widths else None,
        statuses=Counter(claim.status for claim in claims),
        false_places=sum(claim.names_a_place for claim in never),
        never=len(never),
    )


def _rate(judged: Sequence[Claim]) -> Rate | None:
    if not judged:
        return None
    p = sum(claim.held for claim in judged) / len(judged)
    return p, sqrt(p * (1 - p) / len(judged))


def _ends(x: Interval) -> tuple[float, float]:
    return (-inf if x.low is None else x.low), (inf if x.high is None else x.high)
