"""infusionlaw: how much domain knowledge a language model can take in pre-training before its memory collapses.

The names below are the public ones; each is loaded when first used, so `import infusionlaw` costs nothing and the law
half never needs torch. Only `Lab` and `export_run` do.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Alternative": "law.planning.plan",
    "Conditions": "law.surfaces.conditions",
    "InputError": "errors",
    "Lab": "runners.local",
    "Law": "law.scaling.law",
    "Plan": "law.planning.plan",
    "Point": "law.points.point",
    "RULES": "law.planning.rules",
    "Rule": "law.planning.rules",
    "RunRecord": "runs.record",
    "RunSpec": "runs.record",
    "SURFACES": "law.surfaces.forms",
    "Study": "study.study",
    "StudyFile": "settings",
    "dry_run": "pipeline",
    "export_run": "runners.execute",
    "find_points": "law.points.find",
    "fit_law": "law.scaling.fit",
    "fit_surface": "law.surfaces.fit",
    "law_text": "report.words",
    "other_answers": "law.planning.rules",
    "plan_text": "report.words",
    "points_text": "report.words",
    "power": "law.design.power",
    "predict": "law.planning.plan",
    "read_law": "law.scaling.lawfile",
    "read_losses": "law.surfaces.losses",
    "read_points": "law.points.point",
    "read_study_file": "settings",
    "read_table": "runs.table",
    "run_study": "pipeline",
    "status_text": "report.status",
    "tolerated_share": "law.surfaces.fit",
    "under_rule": "law.planning.rules",
    "verdict_text": "report.page",
    "write_law": "law.scaling.lawfile",
    "write_plan": "law.planning.planfile",
    "write_points": "law.points.point",
    "write_report": "report.page",
    "write_table": "runs.table",
    "write_template": "settings",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'infusionlaw' has no attribute {name!r}")
    return getattr(import_module(f"infusionlaw.{_HOMES[name]}"), name)
