"""What was predicted beside what came of it: points, scores at the doses looked at, and what the advice cost."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from infusionlaw.files import read_json, write_json
from infusionlaw.law.dose import Interval, same_dose, same_doses, x_at
from infusionlaw.law.planning.forecast import ADVISED
from infusionlaw.law.points.point import KINDS, Kind, Point, Status
from infusionlaw.law.scaling.law import HALF_WIDTH
from infusionlaw.runs.record import DoseUnit, RunRecord

VERSION = 1
SCORES = ("recall", "retention", "val_bpb")


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


def compare(prediction: dict[str, Any], points: Sequence[Point], rows: Sequence[RunRecord] = ()) -> Comparison:
    """Predicted and observed points of the held-out runs, and their scores where `rows` were run at doses looked at.

    points: error in dex, and whether the interval held the point; a bound (not reached, before the grid) has no error,
    and is a hit when it does not contradict the interval; a tolerance of another rise than the predicted one is left
    out. scores: mean over seeds, and whether the interval, widened by the error over facts, held it; where few facts or
    none were wrong, which says little of that error, it is the one that the predicted level has over as many facts.
    regret: recall at the advised dose below that at the best dose run.
    """
    plans = prediction["predictions"]
    return Comparison(
        written=prediction["written"],
        table_sha256=prediction["table_sha256"],
        already_known=sum(part.get("held_out_runs_already_known", 0) for part in (prediction, *plans)),
        points=tuple(row for plan in plans for row in _points(plan, points)),
        scores=tuple(row for plan in plans for row in _scores(plan, rows)),
        regrets=tuple(row for plan in plans if (row := _regret(plan, rows)) is not None),
        targets=tuple((plan["target"]["size"], plan["target"]["tokens"]) for plan in plans),
    )


def _points(plan: dict[str, Any], points: Sequence[Point]) -> Iterator[ComparedPoint]:
    target = plan["target"]
    for kind in KINDS:
        for point in points:
            here = (point.kind, point.size, point.tokens) == (kind, target["size"], target["tokens"])
            if kind in plan and here and not _of_another_rise(plan, point):
                yield _compared(plan[kind], point)


def _of_another_rise(plan: dict[str, Any], point: Point) -> bool:
    asked = plan.get("most_rise")
    return point.kind == "tolerance" and None not in (asked, point.level) and asked != point.level


def _compared(predicted: dict[str, Any], point: Point) -> ComparedPoint:
    expected = Interval(**predicted[point.unit])
    seen = point.share if point.unit == "share" else point.exposures
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


def _scores(plan: dict[str, Any], rows: Sequence[RunRecord]) -> Iterator[ComparedScore]:
    """The scores of a target's runs at the doses that its forecast looks at; nothing of a dose that was not run."""
    for forecast in plan.get("forecast", ()):  # which older predictions lack
        at = _at_dose(_at_target(plan, rows), forecast)
        for score in SCORES:
            if any(getattr(row, score) is not None for row in at) and forecast[score]["value"] is not None:
                yield _scored(_named(plan, forecast), Interval(**forecast[score]), at, score, _facts(rows, score))


def _named(plan: dict[str, Any], forecast: dict[str, Any]) -> dict[str, Any]:
    """Which dose of which target, as ComparedScore and Regret have it."""
    target = plan["target"]
    where = {"size": target["size"], "tokens": target["tokens"]}
    return where | {name: forecast[name] for name in ("name", "share", "exposures")}


def _facts(rows: Sequence[RunRecord], score: str) -> float:
    """How many facts a score was measured on, by its errors: p (1 - p) / se², the median over rows; inf without any."""
    if score == "val_bpb":
        return math.inf
    seen = [(getattr(row, score), getattr(row, f"{score}_se")) for row in rows]
    return float(np.median([p * (1 - p) / se**2 for p, se in seen if p and se and p < 1] or [math.inf]))


def _scored(
    named: dict[str, Any], predicted: Interval, rows: Sequence[RunRecord], score: str, facts: float
) -> ComparedScore:
    values = [value for row in rows if (value := getattr(row, score)) is not None]
    errors = [error for row in rows if (error := getattr(row, f"{score}_se")) is not None]
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


def _regret(plan: dict[str, Any], rows: Sequence[RunRecord]) -> Regret | None:
    """How much more is recalled at the best dose run than at the advised one; None where that one was not run."""
    advised = next((forecast for forecast in plan.get("forecast", ()) if forecast["name"] == ADVISED), None)
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


def _at_target(plan: dict[str, Any], rows: Sequence[RunRecord]) -> list[RunRecord]:
    target = plan["target"]
    return [row for row in rows if (row.size, row.tokens) == (target["size"], target["tokens"])]


def _at_dose(rows: Sequence[RunRecord], forecast: dict[str, Any]) -> list[RunRecord]:
    return [row for row in rows if _same(row, forecast)]


def _by_dose(rows: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """The runs of one target in groups of one dose."""
    unit: DoseUnit = "share" if all(row.share is not None for row in rows) else "exposures"
    ordered = sorted(rows, key=lambda row: _x(row, unit))
    return [[ordered[i] for i in group] for group in same_doses([_x(row, unit) for row in ordered])]


def _same(row: RunRecord, forecast: dict[str, Any]) -> bool:
    """Whether a run's dose is that of an forecast, in whichever unit both have."""
    unit: DoseUnit = "share" if forecast["share"] is not None and row.share is not None else "exposures"
    return same_dose(_x(row, unit), float(x_at(forecast[unit] or 0.0, unit)))


def _x(row: RunRecord, unit: DoseUnit) -> float:
    return float(x_at(getattr(row, unit) or 0.0, unit))


def write_comparison(path: str | Path, comparison: Comparison) -> None:
    """Write comparison.json; docs/run-folder.md has its keys."""
    content = {
        "version": VERSION,
        "written": comparison.written,
        "table_sha256": comparison.table_sha256,
        "held_out_runs_already_known": comparison.already_known,
        "points": [_point_json(point) for point in comparison.points],
        "scores": [_score_json(score) for score in comparison.scores],
        "regret": [asdict(regret) for regret in comparison.regrets],
        "targets": [list(target) for target in comparison.targets],
    }
    write_json(Path(path), content)


def read_comparison(path: str | Path) -> Comparison:
    """Read what `write_comparison` wrote."""
    content = read_json(Path(path))
    return Comparison(
        content["written"],
        content["table_sha256"],
        content["held_out_runs_already_known"],
        tuple(_point_from(row) for row in content["points"]),
        tuple(_score_from(row) for row in content.get("scores", ())),
        tuple(Regret(**row) for row in content.get("regret", ())),
        tuple((size, tokens) for size, tokens in content.get("targets", ())),
    )


def _point_json(point: ComparedPoint) -> dict[str, Any]:
    content = asdict(point)
    return content | {"observed": {"status": content.pop("status"), **content["observed"]}}


def _point_from(row: dict[str, Any]) -> ComparedPoint:
    seen = dict(row["observed"])
    status = seen.pop("status")
    return ComparedPoint(
        **{**row, "predicted": Interval(**row["predicted"]), "observed": Interval(**seen), "status": status}
    )


def _score_json(score: ComparedScore) -> dict[str, Any]:
    content = asdict(score)
    return content | {"observed": {"value": score.observed, "se": content.pop("se"), "runs": content.pop("runs")}}


def _score_from(row: dict[str, Any]) -> ComparedScore:
    seen = row["observed"]
    own = {"predicted": Interval(**row["predicted"]), "observed": seen["value"], "se": seen["se"], "runs": seen["runs"]}
    return ComparedScore(**{**row, **own})
