"""plan.json: a plan on disk. Unknown numbers are null, with the reason beside them; docs/run-folder.md has its keys."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from infusionlaw.files import write_json
from infusionlaw.law.dose import LEVEL
from infusionlaw.law.planning.forecast import Forecast
from infusionlaw.law.planning.plan import Alternative, Dose, Plan
from infusionlaw.law.scaling.law import Prediction

VERSION = 3


def plan_json(plan: Plan) -> dict[str, Any]:
    """The content of plan.json."""
    target, support = plan.target, plan.support
    content: dict[str, Any] = {
        "version": VERSION,
        "status": plan.status,
        "notes": list(plan.notes),
        "level": LEVEL,
        "target": {"size": target.size, "tokens": target.tokens, "facts": target.facts},
        "risk": target.risk,
        "most_rise": target.tolerance,
        "dose": _dose_json(plan.dose),
        "tokens": plan.dose.tokens.as_dict(),
        "binding": plan.binding,
        "constraints": [asdict(constraint) for constraint in plan.constraints],
        "recall": plan.recall.as_dict(),
        "rise": plan.rise.as_dict(),
        "facts_known": plan.known.as_dict(),
        "facts_room": plan.room.as_dict(),
        "forecast": [_forecast_json(forecast) for forecast in plan.forecast],
        "remedies": [asdict(remedy) for remedy in plan.remedies],
        "alternatives": [_alternative_json(alternative) for alternative in plan.alternatives],
        "collapse": _dose_json(plan.collapse),
        "acquisition": _dose_json(plan.acquisition),
        "support": {
            "sizes": list(support.sizes),
            "token_counts": list(support.token_counts),
            "distance": {"size": support.size_factor, "tokens": support.tokens_factor},
            "flag": support.flag,
        },
    }
    extra = {"retention": plan.retention, "tolerance": plan.tolerance}
    return content | {name: _dose_json(point) for name, point in extra.items() if point.x.value is not None}


def _forecast_json(forecast: Forecast) -> dict[str, Any]:
    scores = {name: getattr(forecast, name).as_dict() for name in ("recall", "retention", "val_bpb")}
    return {"name": forecast.name, "share": forecast.share, "exposures": forecast.exposures} | scores


def _alternative_json(alternative: Alternative) -> dict[str, Any]:
    point, rule = alternative.point, alternative.point.rule
    return {
        "rule": rule.name,
        "source": rule.source,
        "kind": rule.kind,
        "exponents": {"of": rule.measure, "size": rule.size, "tokens": rule.tokens},
        "measured": {"sizes": list(rule.sizes), "tokens": list(rule.trained), "level": rule.level},
        "from": dict(zip(("size", "tokens"), point.start, strict=True)),
        "share": point.share.as_dict(),
        "exposures": point.exposures.as_dict(),
        "dex": point.dex,
        "contradicts": point.contradicts,
        "at_advised_dose": alternative.meaning,
        "recall": alternative.recall.as_dict(),
        "dose": _dose_json(alternative.dose),
    }


def _dose_json(dose: Prediction | Dose) -> dict[str, Any]:
    content: dict[str, Any] = {"share": dose.share.as_dict(), "exposures": dose.exposures.as_dict()}
    return content | ({"reason": dose.reason} if dose.reason else {})


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write plan.json atomically."""
    write_json(Path(path), plan_json(plan))
