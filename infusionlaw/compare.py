"""What was predicted beside what came of it: points, scores at the doses looked at, and what the advice cost."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from infusionlaw.law.advice.outlook import ADVISED
from infusionlaw.law.dose import same_dose, same_doses, x_at
from infusionlaw.law.law import HALF_WIDTH
from infusionlaw.law.points.point import KINDS, Point
from infusionlaw.records import DoseUnit, RunRecord

SCORES = ("recall", "retention", "general_loss")


def compare(prediction: dict[str, Any], points: Sequence[Point], rows: Sequence[RunRecord] = ()) -> dict[str, Any]:
    """Predicted and observed points of the held-out runs, and their scores where `rows` were run at doses looked at.

    points: error in dex, and whether the interval held the point; a bound (not reached, before the grid) has no error,
    and is a hit when it does not contradict the interval; a tolerance of another rise than the predicted one is left
    out. scores: mean over seeds, and whether the interval, widened by
    the error over facts, held it; where few facts or none were wrong, which says little of that error, it is the one
    that the predicted level has over as many facts. regret: recall at the advised dose below that at the best dose run.
    """
    plans = prediction["predictions"]
    return {
        "version": 1,
        "written": prediction["written"],
        "table_sha256": prediction["table_sha256"],
        "held_out_runs_already_known": sum(part.get("held_out_runs_already_known", 0) for part in (prediction, *plans)),
        "points": [row for plan in plans for row in _points(plan, points)],
        "scores": [row for plan in plans for row in _scores(plan, rows)],
        "regret": [row for plan in plans if (row := _regret(plan, rows)) is not None],
    }


def _points(plan: dict[str, Any], points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    target = plan["target"]
    for kind in KINDS:
        for point in points:
            here = (point.kind, point.size, point.tokens) == (kind, target["size"], target["tokens"])
            if kind in plan and here and not _of_another_rise(plan, point):
                yield _compared(kind, plan[kind], point)


def _of_another_rise(plan: dict[str, Any], point: Point) -> bool:
    asked = plan.get("most_rise")
    return point.kind == "tolerance" and None not in (asked, point.level) and asked != point.level


def _compared(kind: str, predicted: dict[str, Any], point: Point) -> dict[str, Any]:
    """One predicted point beside the observed one, in the unit that the study found points in."""
    expected = predicted[point.unit]
    seen = (point.share if point.unit == "share" else point.exposures).as_dict()
    error = inside = None
    if expected["value"] is not None:
        if seen["value"] is not None:
            error = float(x_at(seen["value"], point.unit) - x_at(expected["value"], point.unit))
            inside = expected["low"] <= seen["value"] <= expected["high"]
        elif point.status == "not reached" and seen["low"] is not None:
            inside = expected["high"] >= seen["low"]
        elif point.status == "before the grid" and seen["high"] is not None:
            inside = expected["low"] <= seen["high"]
    return {
        "kind": kind,
        "size": point.size,
        "tokens": point.tokens,
        "unit": point.unit,
        "predicted": expected,
        "observed": {"status": point.status, **seen},
        "error_dex": None if error is None else round(error, 4),
        "inside": inside,
    }


def _scores(plan: dict[str, Any], rows: Sequence[RunRecord]) -> Iterator[dict[str, Any]]:
    """The scores of a target's runs at the doses that its outlook looks at; nothing of a dose that was not run."""
    for outlook in plan.get("outlook", ()):  # which older predictions lack
        at = _at_dose(_at_target(plan, rows), outlook)
        for score in SCORES:
            if any(getattr(row, score) is not None for row in at) and outlook[score]["value"] is not None:
                scored = _scored(outlook[score], at, score, _facts(rows, score))
                yield {**_named(plan, outlook), "score": score, **scored}


def _named(plan: dict[str, Any], outlook: dict[str, Any]) -> dict[str, Any]:
    target = plan["target"]
    where = {"size": target["size"], "tokens": target["tokens"]}
    return where | {name: outlook[name] for name in ("name", "share", "exposures")}


def _facts(rows: Sequence[RunRecord], score: str) -> float:
    """How many facts a score was measured on, by its errors: p (1 - p) / se², the median over rows; inf without any."""
    if score == "general_loss":
        return math.inf
    seen = [(getattr(row, score), getattr(row, f"{score}_se")) for row in rows]
    return float(np.median([p * (1 - p) / se**2 for p, se in seen if p and se and p < 1] or [math.inf]))


def _scored(predicted: dict[str, Any], rows: Sequence[RunRecord], score: str, facts: float) -> dict[str, Any]:
    values = [value for row in rows if (value := getattr(row, score)) is not None]
    errors = [error for row in rows if (error := getattr(row, f"{score}_se")) is not None]
    mean, error = float(np.mean(values)), float(np.mean(errors)) if errors else 0.0
    value, low, high = (predicted[end] for end in ("value", "low", "high"))
    own = HALF_WIDTH * max(error, math.sqrt(value * (1 - value) / facts) if math.isfinite(facts) else 0.0)
    low, high = value - math.hypot(value - low, own), value + math.hypot(high - value, own)
    return {
        "predicted": predicted,
        "observed": {"value": mean, "se": error, "runs": len(values)},
        "error": round(mean - value, 4),
        "inside": low <= mean <= high,
    }


def _regret(plan: dict[str, Any], rows: Sequence[RunRecord]) -> dict[str, Any] | None:
    """How much more is recalled at the best dose run than at the advised one; None where that one was not run."""
    advised = next((outlook for outlook in plan.get("outlook", ()) if outlook["name"] == ADVISED), None)
    mine = [row for row in _at_target(plan, rows) if row.recall is not None]
    if advised is None or not (at := _at_dose(mine, advised)):
        return None
    best = max(_by_dose(mine), key=_recall)
    return {
        **_named(plan, advised),
        "recall": _recall(at),
        "best_share": best[0].share,
        "best_exposures": best[0].exposures,
        "best_recall": _recall(best),
        "regret": round(_recall(best) - _recall(at), 4),
    }


def _recall(rows: Sequence[RunRecord]) -> float:
    return float(np.mean([row.recall for row in rows if row.recall is not None]))


def _at_target(plan: dict[str, Any], rows: Sequence[RunRecord]) -> list[RunRecord]:
    target = plan["target"]
    return [row for row in rows if (row.size, row.tokens) == (target["size"], target["tokens"])]


def _at_dose(rows: Sequence[RunRecord], outlook: dict[str, Any]) -> list[RunRecord]:
    return [row for row in rows if _same(row, outlook)]


def _by_dose(rows: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """The runs of one target in groups of one dose."""
    unit: DoseUnit = "share" if all(row.share is not None for row in rows) else "exposures"
    ordered = sorted(rows, key=lambda row: _x(row, unit))
    return [[ordered[i] for i in group] for group in same_doses([_x(row, unit) for row in ordered])]


def _same(row: RunRecord, outlook: dict[str, Any]) -> bool:
    """Whether a run's dose is that of an outlook, in whichever unit both have."""
    unit: DoseUnit = "share" if outlook["share"] is not None and row.share is not None else "exposures"
    return same_dose(_x(row, unit), float(x_at(outlook[unit] or 0.0, unit)))


def _x(row: RunRecord, unit: DoseUnit) -> float:
    return float(x_at(getattr(row, unit) or 0.0, unit))
