"""What was predicted beside what came of it: points, scores at the doses looked at, and what the advice cost."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from infusionlaw.files import read_typed, write_typed
from infusionlaw.law.dose import LEVEL, Interval, same_dose, same_doses, x_at
from infusionlaw.law.planning.forecast import ADVISED, Forecast
from infusionlaw.law.planning.plan import Plan
from infusionlaw.law.planning.predictions import WrittenPredictions
from infusionlaw.law.points.point import Kind, Point, Status
from infusionlaw.law.scaling.law import HALF_WIDTH, Prediction
from infusionlaw.runs.outcomes import kind_named, outcome_named
from infusionlaw.runs.record import DoseUnit, RunRecord

UNINFORMATIVE = 1.0  # dex: an interval wider than a factor of ten in the odds or exposures


@dataclass(frozen=True)
class ComparedPoint:
    """A predicted point beside the observed one, in the unit that the study found points in.

    error_dex: None where one of them has no value; inside: whether the predicted interval holds the observed value,
    None: cannot be said. The observed point is an estimate too, of one seed perhaps, which `agrees` allows for.
    """

    kind: Kind
    size: float
    tokens: float
    unit: DoseUnit
    predicted: Interval
    observed: Interval
    status: Status
    error_dex: float | None
    inside: bool | None

    @property
    def agrees(self) -> bool | None:
        """Whether the errors of both, combined as those of scores are, account for the difference; None as `inside`."""
        if self.error_dex is None:
            return self.inside
        if self.error_dex >= 0:
            parts = self._reach(self.predicted, "high"), self._reach(self.observed, "low")
        else:
            parts = self._reach(self.predicted, "low"), self._reach(self.observed, "high")
        return abs(self.error_dex) <= math.hypot(*parts)

    @property
    def width(self) -> float | None:
        """Width of the predicted interval in dex; None without two ends."""
        if self.predicted.low is None or self.predicted.high is None:
            return None
        low, high = x_at([self.predicted.low, self.predicted.high], self.unit)
        return float(high - low)

    @property
    def interval_score(self) -> float | None:
        """Width in dex, and 20 times the distance by which the interval misses what was seen; None without two ends.

        Small is good: a wide interval that holds scores no better than a narrow one that just misses. Where a bound
        alone was seen, the distance is that to the bound. (Gneiting and Raftery 2007, equation 43.)
        """
        if self.width is None:
            return None
        low, high = x_at([self.predicted.low or 0.0, self.predicted.high or 0.0], self.unit)
        below, above = self._seen_between()
        return self.width + 2 / (1 - LEVEL) * float(max(below - high, low - above, 0.0))

    @property
    def says_little(self) -> bool:
        """Whether the interval is so wide that holding what was seen says little."""
        return self.width is None or self.width > UNINFORMATIVE

    def _seen_between(self) -> tuple[float, float]:
        """Between which x the point was seen: twice its place, or a bound and infinity."""
        value, low, high = self.observed.value, self.observed.low, self.observed.high
        ends = (value, value) if value is not None else (low, high)
        below, above = (None if end is None else float(x_at(end, self.unit)) for end in ends)
        return (-math.inf if below is None else below), (math.inf if above is None else above)

    def _reach(self, place: Interval, end: Literal["low", "high"]) -> float:
        """How far, in dex, an interval's end lies from its value; inf where it is open."""
        last, value = getattr(place, end), place.value
        return math.inf if last is None or value is None else abs(float(np.diff(x_at([value, last], self.unit))[0]))


@dataclass(frozen=True)
class ComparedScore:
    """A predicted score beside the mean of `runs` runs at a dose that the prediction looks at; se: its own error."""

    size: float
    tokens: float
    name: str
    share: float | None
    exposures: float | None
    score: str
    predicted: Interval
    observed: float
    se: float
    runs: int
    error: float
    inside: bool


@dataclass(frozen=True)
class Regret:
    """Recall at a target's advised dose, and at the best dose run there."""

    size: float
    tokens: float
    name: str
    share: float | None
    exposures: float | None
    recall: float
    best_share: float | None
    best_exposures: float | None
    best_recall: float
    regret: float


@dataclass(frozen=True)
class Comparison:
    """A prediction beside what came of it.

    already_known: how many held-out runs were known when it was written; targets: each (size, tokens) predicted.
    """

    written: str
    table_sha256: str
    already_known: int
    points: tuple[ComparedPoint, ...] = ()
    scores: tuple[ComparedScore, ...] = ()
    regrets: tuple[Regret, ...] = ()
    targets: tuple[tuple[float, float], ...] = ()

    @property
    def untried(self) -> list[tuple[float, float]]:
        """The targets of which no point and no score has been seen."""
        seen = {(row.size, row.tokens) for row in self.points} | {(row.size, row.tokens) for row in self.scores}
        return [target for target in self.targets if target not in seen]

    def of(self, kind: Kind) -> list[ComparedPoint]:
        """The points of a kind."""
        return [point for point in self.points if point.kind == kind]


def compare(prediction: WrittenPredictions, points: Sequence[Point], rows: Sequence[RunRecord] = ()) -> Comparison:
    """Predicted and observed points of the held-out runs, and their scores where `rows` were run at doses looked at.

    points: error in dex, and whether the interval held the point; a bound (not reached, before the grid) has no error,
    and is a hit when it does not contradict the interval; a tolerance of another rise than the predicted one is left
    out. scores: mean over seeds, and whether the interval, widened by the error over facts, held it; where few facts or
    none were wrong, which says little of that error, it is the one that the predicted level has over as many facts.
    regret: recall at the advised dose below that at the best dose run.
    """
    plans = [item.plan for item in prediction.predictions]
    return Comparison(
        written=prediction.written,
        table_sha256=prediction.table_sha256,
        already_known=prediction.already_known,
        points=tuple(row for plan in plans for row in _points(plan, points)),
        scores=tuple(row for plan in plans for row in _scores(plan, rows)),
        regrets=tuple(row for plan in plans if (row := _regret(plan, rows)) is not None),
        targets=tuple((plan.target.size, plan.target.tokens) for plan in plans),
    )


def _points(plan: Plan, points: Sequence[Point]) -> Iterator[ComparedPoint]:
    for kind, predicted in plan.points.items():
        for point in points:
            here = (point.kind, point.size, point.tokens) == (kind, plan.target.size, plan.target.tokens)
            if here and not _of_another_rise(plan, point):
                yield _compared(predicted, point)


def _of_another_rise(plan: Plan, point: Point) -> bool:
    asked = plan.target.tolerance
    return kind_named(point.kind).change == "risen" and None not in (asked, point.level) and asked != point.level


def _compared(predicted: Prediction, point: Point) -> ComparedPoint:
    expected, seen = predicted.in_unit(point.unit), point.dose
    error = inside = None
    if expected.value is not None and expected.low is not None and expected.high is not None:
        if seen.value is not None:
            error = round(float(x_at(seen.value, point.unit) - x_at(expected.value, point.unit)), 4)
            inside = expected.low <= seen.value <= expected.high
        elif point.status == "not reached" and seen.low is not None:
            inside = expected.high >= seen.low
        elif point.status == "before the grid" and seen.high is not None:
            inside = expected.low <= seen.high
    return ComparedPoint(point.kind, point.size, point.tokens, point.unit, expected, seen, point.status, error, inside)


def _scores(plan: Plan, rows: Sequence[RunRecord]) -> Iterator[ComparedScore]:
    """The scores of a target's runs at the doses that its forecast looks at; nothing of a dose that was not run."""
    for forecast in plan.forecast:
        at = _at_dose(_at_target(plan, rows), forecast)
        for score, expected in forecast.scores.items():
            if any(row.score(score) is not None for row in at) and expected.value is not None:
                yield _scored(_named(plan, forecast), expected, at, score, _facts(rows, score))


def _named(plan: Plan, forecast: Forecast) -> dict[str, Any]:
    """Which dose of which target, as ComparedScore and Regret have it."""
    where = {"size": plan.target.size, "tokens": plan.target.tokens}
    return where | {name: getattr(forecast, name) for name in ("name", "share", "exposures")}


def _facts(rows: Sequence[RunRecord], score: str) -> float:
    """How many facts a score was measured on, by its errors: p (1 - p) / se², the median over rows; inf without any."""
    if outcome_named(score).scale == "bits per byte":
        return math.inf
    seen = [(row.score(score), row.error(score)) for row in rows]
    return float(np.median([p * (1 - p) / se**2 for p, se in seen if p and se and p < 1] or [math.inf]))


def _scored(
    named: dict[str, Any], predicted: Interval, rows: Sequence[RunRecord], score: str, facts: float
) -> ComparedScore:
    values = [value for row in rows if (value := row.score(score)) is not None]
    errors = [error for row in rows if (error := row.error(score)) is not None]
    mean, error = float(np.mean(values)), float(np.mean(errors)) if errors else 0.0
    expected = predicted.value or 0.0
    own = HALF_WIDTH * max(error, math.sqrt(expected * (1 - expected) / facts) if math.isfinite(facts) else 0.0)
    below, above = (abs(end - expected) if end is not None else math.inf for end in (predicted.low, predicted.high))
    return ComparedScore(
        **named,
        score=score,
        predicted=predicted,
        observed=mean,
        se=error,
        runs=len(values),
        error=round(mean - expected, 4),
        inside=-math.hypot(below, own) <= mean - expected <= math.hypot(above, own),
    )


def _regret(plan: Plan, rows: Sequence[RunRecord]) -> Regret | None:
    """How much more is recalled at the best dose run than at the advised one; None where that one was not run.

    Of a number of facts there is no best one: the fewest are recalled best.
    """
    if plan.in_facts:
        return None
    advised = next((forecast for forecast in plan.forecast if forecast.name == ADVISED), None)
    mine = [row for row in _at_target(plan, rows) if row.recall is not None]
    if advised is None or not (at := _at_dose(mine, advised)):
        return None
    best = max(_by_dose(mine), key=_recall)
    return Regret(
        **_named(plan, advised),
        recall=_recall(at),
        best_share=best[0].share,
        best_exposures=best[0].exposures,
        best_recall=_recall(best),
        regret=round(_recall(best) - _recall(at), 4),
    )


def _recall(rows: Sequence[RunRecord]) -> float:
    return float(np.mean([row.recall for row in rows if row.recall is not None]))


def _at_target(plan: Plan, rows: Sequence[RunRecord]) -> list[RunRecord]:
    return [row for row in rows if (row.size, row.tokens) == (plan.target.size, plan.target.tokens)]


def _at_dose(rows: Sequence[RunRecord], forecast: Forecast) -> list[RunRecord]:
    return [row for row in rows if _same(row, forecast)]


def _by_dose(rows: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """The runs of one target in groups of one dose."""
    unit: DoseUnit = "share" if all(row.share is not None for row in rows) else "exposures"
    ordered = sorted(rows, key=lambda row: _x(row, unit))
    return [[ordered[i] for i in group] for group in same_doses([_x(row, unit) for row in ordered])]


def _same(row: RunRecord, forecast: Forecast) -> bool:
    """Whether a run's dose is that of a forecast, in whichever unit both have."""
    unit: DoseUnit = "share" if forecast.share is not None and row.share is not None else "exposures"
    unit = "facts" if forecast.facts is not None else unit
    return same_dose(_x(row, unit), float(x_at(getattr(forecast, unit) or 0.0, unit)))


def _x(row: RunRecord, unit: DoseUnit) -> float:
    return float(x_at(getattr(row, unit) or 0.0, unit))


def write_comparison(path: str | Path, comparison: Comparison) -> None:
    """Write comparison.json atomically."""
    write_typed(path, comparison, Comparison)


def read_comparison(path: str | Path) -> Comparison:
    """Read comparison.json. Raises InputError when it is not one that we wrote."""
    return read_typed(path, Comparison, "a comparison", "make it again from its study")
