"""infusionlaw: how much domain knowledge a language model can take in pre-training before its memory collapses.

The names below are the public ones; each is loaded when first used, so `import infusionlaw` costs nothing and the law
half never needs torch. Only `Lab` and `export_run` do.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Alternative": "plan",
    "Conditions": "law.surfaces.conditions",
    "InputError": "errors",
    "Lab": "lab.run",
    "Law": "law.law",
    "Plan": "plan",
    "Point": "law.points.point",
    "RULES": "law.rules",
    "Rule": "law.rules",
    "RunRecord": "records",
    "RunSpec": "records",
    "SURFACES": "law.surfaces.forms",
    "Study": "study",
    "StudyFile": "studyfile",
    "dry_run": "chain",
    "export_run": "lab.execute",
    "find_points": "law.points.find",
    "fit_law": "law.fit",
    "fit_surface": "law.surfaces.fit",
    "law_text": "report.words",
    "other_answers": "law.rules",
    "plan_text": "report.words",
    "points_text": "report.words",
    "power": "law.power.power",
    "predict": "plan",
    "read_law": "law.lawfile",
    "read_losses": "losses",
    "read_points": "law.points.point",
    "read_study_file": "studyfile",
    "read_table": "table",
    "run_study": "chain",
    "status_text": "report.status",
    "tolerated_share": "law.surfaces.fit",
    "under_rule": "law.rules",
    "verdict_text": "report.page",
    "write_law": "law.lawfile",
    "write_plan": "planfile",
    "write_points": "law.points.point",
    "write_report": "report.page",
    "write_table": "table",
    "write_template": "studyfile",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'infusionlaw' has no attribute {name!r}")
    return getattr(import_module(f"infusionlaw.{_HOMES[name]}"), name)
