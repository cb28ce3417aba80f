"""Claims counted: how often intervals hold the truth, how far off values are, and whether that meets our bars.

A claim with no interval says nothing and is not counted. An open end reaches as far as it likes. Curves that never
collapse are counted apart: there every place named is a false find.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import mean, median

from benchmarks.claims import BASELINES, METHODS, OURS, Outcome, PointClaim
from infusionlaw.law.dose import LEVEL, Interval

MISS = 2 / (1 - LEVEL)  # what a miss by one dex adds to the interval score
LEAST, MOST = 0.86, 0.94
BIAS, FALSE = 0.02, 0.05
Rate = tuple[float, float]
Held = Sequence[Sequence[bool]]


@dataclass(frozen=True)
class PointTally:
    """Points where a collapse exists. None: nothing to count.

    intervals: claims with one; coverage: how often it holds the truth, with the standard error; within: collapses
    between the doses, and found: the share of these with a value; signed, error: medians of value - truth and of its
    size; late: the share of values above the truth; width: median, inf when open. Distances are in dex.
    """

    intervals: int
    coverage: Rate | None
    within: int
    found: float | None
    signed: float | None
    error: float | None
    late: float | None
    width: float | None


@dataclass(frozen=True)
class NeverTally:
    """Curves that never collapse, in how many a place was named, and in how many studies one was predicted."""

    curves: int
    found: int
    studies: int
    predicted: int

    @property
    def share(self) -> float | None:
        """found / curves."""
        return self.found / self.curves if self.curves else None


@dataclass(frozen=True)
class MethodTally:
    """One method's predictions: medians of size and sign of the error and of the width; mean interval score."""

    error: float
    signed: float
    coverage: Rate
    score: float
    width: float


@dataclass(frozen=True)
class TargetTally:
    """Predictions where a collapse exists.

    asked: all of them; refused: we give no closed interval; alone: we do and some baseline does not; compared: all
    methods do, and `by` counts these.
    """

    asked: int
    refused: int
    alone: int
    compared: int
    by: dict[str, MethodTally]


@dataclass(frozen=True)
class Tally:
    """All that is counted of some studies."""

    studies: int
    points: PointTally
    targets: TargetTally
    never: NeverTally


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """Count the claims of some studies."""
    return Tally(len(outcomes), _points(outcomes), _targets(outcomes), _never(outcomes))


def _points(outcomes: Sequence[Outcome]) -> PointTally:
    held = [[holds(p.x, p.truth) for p in o.points if p.truth is not None and not silent(p.x)] for o in outcomes]
    claims = [p for o in outcomes for p in o.points if p.truth is not None]
    errors = [p.x.value - p.truth for p in claims if p.x.value is not None and p.truth is not None]
    within = [p for p in claims if p.within]
    return PointTally(
        intervals=sum(map(len, held)),
        coverage=rate(held),
        within=len(within),
        found=mean(_named(p) for p in within) if within else None,
        signed=median(errors) if errors else None,
        error=median(map(abs, errors)) if errors else None,
        late=mean(error > 0 for error in errors) if errors else None,
        width=median(widths) if (widths := [width(p.x) for p in claims if not silent(p.x)]) else None,
    )


def _never(outcomes: Sequence[Outcome]) -> NeverTally:
    curves = [p for o in outcomes for p in o.points if p.truth is None]
    aims = [[t for t in o.targets if t.truth is None] for o in outcomes]
    return NeverTally(
        curves=len(curves),
        found=sum(map(_named, curves)),
        studies=sum(map(bool, aims)),
        predicted=sum(any(not silent(t.by[OURS]) for t in own) for own in aims),
    )


def _named(claim: PointClaim) -> bool:
    return claim.x.value is not None


def _targets(outcomes: Sequence[Outcome]) -> TargetTally:
    asked = [[t for t in o.targets if t.truth is not None] for o in outcomes]
    answered = [t for own in asked for t in own if closed(t.by[OURS])]
    compared = [[t for t in own if all(closed(t.by[name]) for name in METHODS)] for own in asked]
    count, total = sum(map(len, compared)), sum(map(len, asked))

    def of(name: str) -> MethodTally:
        pairs = [[(t.by[name], t.truth) for t in own if t.truth is not None] for own in compared]
        flat = [pair for own in pairs for pair in own]
        errors = [x.value - truth for x, truth in flat if x.value is not None]
        coverage = rate([[holds(*pair) for pair in own] for own in pairs])
        assert coverage is not None
        return MethodTally(
            error=median(map(abs, errors)),
            signed=median(errors),
            coverage=coverage,
            score=mean(interval_score(*pair) for pair in flat),
            width=median(width(x) for x, _ in flat),
        )

    by = {name: of(name) for name in METHODS} if count else {}
    return TargetTally(total, total - len(answered), len(answered) - count, count, by)


def silent(x: Interval) -> bool:
    """Whether an interval bounds nothing."""
    return x.low is None and x.high is None


def closed(x: Interval) -> bool:
    """Whether there is a value and both ends."""
    return None not in (x.value, x.low, x.high)


def ends(x: Interval) -> Rate:
    """Both ends, an open one at infinity."""
    return (-inf if x.low is None else x.low), (inf if x.high is None else x.high)


def width(x: Interval) -> float:
    """Width in dex; inf when open."""
    low, high = ends(x)
    return high - low


def holds(x: Interval, truth: float | None) -> bool:
    """Whether an interval holds the truth."""
    low, high = ends(x)
    return truth is not None and low <= truth <= high


def interval_score(x: Interval, truth: float) -> float:
    """Width plus MISS times the distance by which the truth is missed: low is good, and only honest ends are lowest."""
    low, high = ends(x)
    return high - low + MISS * max(0.0, low - truth, truth - high)


def rate(held: Held) -> Rate | None:
    """How often claims hold, given by study, with its standard error (inf for a single study).

    The error takes each study as one draw: claims of one study share a world and go together.
    """
    studies = [own for own in held if len(own)]
    count = sum(map(len, studies))
    if not count:
        return None
    p = sum(map(sum, studies)) / count
    if len(studies) == 1:
        return p, inf
    off = sum((sum(own) - p * len(own)) ** 2 for own in studies)
    return p, sqrt(off * len(studies) / (len(studies) - 1)) / count


@dataclass(frozen=True)
class Bar:
    """What we ask of every kind. met: None where a kind has nothing to judge it by."""

    name: str
    words: str
    met: Callable[[Tally], bool | None]


def _covers(coverage: Rate | None) -> bool | None:
    return None if coverage is None else LEAST <= coverage[0] <= MOST


def _points_hold(count: Tally) -> bool | None:
    return _covers(count.points.coverage)


def _points_unbiased(count: Tally) -> bool | None:
    signed = count.points.signed
    return None if signed is None else abs(signed) <= BIAS


def _predictions_hold(count: Tally) -> bool | None:
    return _covers(count.targets.by[OURS].coverage) if count.targets.by else None


def _nearer(count: Tally) -> bool | None:
    by = count.targets.by
    return by[OURS].error <= min(by[name].error for name in BASELINES) if by else None


def _narrower(count: Tally) -> bool | None:
    by = count.targets.by
    return by[OURS].score < min(by[name].score for name in BASELINES) if by else None


def _not_false(count: Tally) -> bool | None:
    share = count.never.share
    return None if share is None else share <= FALSE


POINTS_HOLD, UNBIASED, PREDICTIONS_HOLD, NEARER, NARROWER, NOT_FALSE = BARS = (
    Bar(
        "points hold", f"Points: {100 * LEAST:.0f} to {100 * MOST:.0f} % of the intervals hold the truth", _points_hold
    ),
    Bar(
        "points unbiased",
        f"Points: the bias, the median of value minus truth, is within {BIAS:g} dex",
        _points_unbiased,
    ),
    Bar(
        "predictions hold",
        f"Predictions: {100 * LEAST:.0f} to {100 * MOST:.0f} % of the intervals hold the truth",
        _predictions_hold,
    ),
    Bar("predictions nearer", "Predictions: the median distance is no larger than the best baseline's", _nearer),
    Bar("predictions narrower", "Predictions: the interval score is below every baseline's", _narrower),
    Bar(
        "few false finds", f"Curves that never collapse: a collapse is found in at most {100 * FALSE:.0f} %", _not_false
    ),
)
