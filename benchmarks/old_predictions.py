"""Predictions as they were written before they had types: results/*/prediction.json read as `WrittenPredictions`.

Only what a comparison reads is carried over: targets, points and forecasts. What is not there is left empty.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infusionlaw.files import read_json
from infusionlaw.law.dose import Interval
from infusionlaw.law.planning.at_target import Target
from infusionlaw.law.planning.forecast import Forecast
from infusionlaw.law.planning.plan import Dose, Plan, Support
from infusionlaw.law.planning.planfile import WrittenPlan, WrittenPredictions
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.law import Prediction
from infusionlaw.runs.outcomes import kinds

NAMES = {"recall": "recall", "retention": "retention", "val_bpb": "general_loss"}  # outcomes, as they were called


def read_old_predictions(path: Path) -> WrittenPredictions:
    """Read a prediction file of before."""
    content = read_json(path)
    known = [plan.get("held_out_runs_already_known", 0) for plan in content["predictions"]]
    known[0] += content.get("held_out_runs_already_known", 0)
    items = tuple(_item(content, plan, count) for plan, count in zip(content["predictions"], known, strict=True))
    return WrittenPredictions(content.get("table", ""), content["table_sha256"], items)


def _item(content: Mapping[str, Any], plan: Mapping[str, Any], known: int) -> WrittenPlan:
    asked = plan.get("asked", plan["target"])
    written = plan.get("written", content["written"])
    return WrittenPlan((asked["size"], asked["tokens"]), written, known, _plan(plan))


def _plan(plan: Mapping[str, Any]) -> Plan:
    old = plan["target"]
    target = Target(old["size"], old["tokens"], old.get("facts"), None, plan.get("risk", 0.05), plan.get("most_rise"))
    points = {
        kind: predicted(target, kind, Interval(**plan[kind]["share"]), Interval(**plan[kind]["exposures"]))
        for kind in kinds()
        if kind in plan
    }
    return partial_plan(target, points, [_forecast(old) for old in plan.get("outlook", ())])


def _forecast(old: Mapping[str, Any]) -> Forecast:
    scores = {name: Interval(**old[was]) for name, was in NAMES.items() if was in old}
    return Forecast(old["name"], old["share"], old["exposures"], scores)


def predicted(target: Target, kind: Kind, share: Interval, exposures: Interval) -> Prediction:
    """A point of which only the doses are known."""
    return Prediction(kind, target.size, target.tokens, Interval(), share, exposures)


def partial_plan(target: Target, points: Mapping[Kind, Prediction], forecast: Sequence[Forecast] = ()) -> Plan:
    """A plan that says where points lie and what to expect, and nothing else."""
    nothing = Interval()
    return Plan(
        status="",
        notes=(),
        target=target,
        points=dict(points),
        dose=Dose(nothing, nothing, nothing, nothing),
        binding="",
        constraints=(),
        recall=nothing,
        rise=nothing,
        known=nothing,
        room=nothing,
        forecast=tuple(forecast),
        remedies=(),
        support=Support((), (), 1.0, 1.0, ""),
    )
