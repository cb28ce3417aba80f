"""infusionlaw: how much domain knowledge a language model can take in pre-training before its memory collapses.

The names below are the public ones; each is loaded when first used, so `import infusionlaw` costs nothing and the law
half never needs torch. Only `Lab` and `export_run` do.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors; the table below loads the same names when they are first used
    from infusionlaw.errors import InputError as InputError
    from infusionlaw.law.design.next_runs import next_runs as next_runs
    from infusionlaw.law.design.power import power as power
    from infusionlaw.law.planning.plan import Alternative as Alternative
    from infusionlaw.law.planning.plan import Plan as Plan
    from infusionlaw.law.planning.plan import predict as predict
    from infusionlaw.law.planning.plan import read_plan as read_plan
    from infusionlaw.law.planning.plan import write_plan as write_plan
    from infusionlaw.law.planning.rules import RULES as RULES
    from infusionlaw.law.planning.rules import Rule as Rule
    from infusionlaw.law.planning.rules import other_answers as other_answers
    from infusionlaw.law.planning.rules import under_rule as under_rule
    from infusionlaw.law.points.find import find_points as find_points
    from infusionlaw.law.points.point import Point as Point
    from infusionlaw.law.points.point import read_points as read_points
    from infusionlaw.law.points.point import write_points as write_points
    from infusionlaw.law.points.points import Points as Points
    from infusionlaw.law.scaling.fit import fit_law as fit_law
    from infusionlaw.law.scaling.law import Law as Law
    from infusionlaw.law.scaling.law import read_law as read_law
    from infusionlaw.law.scaling.law import write_law as write_law
    from infusionlaw.law.surfaces.conditions import Conditions as Conditions
    from infusionlaw.law.surfaces.fit import fit_surface as fit_surface
    from infusionlaw.law.surfaces.fit import tolerated_share as tolerated_share
    from infusionlaw.law.surfaces.known import SURFACES as SURFACES
    from infusionlaw.law.surfaces.losses import read_losses as read_losses
    from infusionlaw.law.surfaces.scores import score_through_loss as score_through_loss
    from infusionlaw.pipeline import dry_run as dry_run
    from infusionlaw.pipeline import run_study as run_study
    from infusionlaw.pipeline import write_report as write_report
    from infusionlaw.report.page import verdict_text as verdict_text
    from infusionlaw.report.status import status_text as status_text
    from infusionlaw.report.words import law_text as law_text
    from infusionlaw.report.words import plan_text as plan_text
    from infusionlaw.report.words import points_text as points_text
    from infusionlaw.runners.execute import export_run as export_run
    from infusionlaw.runners.local import Lab as Lab
    from infusionlaw.runs.record import RunRecord as RunRecord
    from infusionlaw.runs.record import RunSpec as RunSpec
    from infusionlaw.runs.table import read_table as read_table
    from infusionlaw.runs.table import write_table as write_table
    from infusionlaw.settings import StudyFile as StudyFile
    from infusionlaw.settings import read_study_file as read_study_file
    from infusionlaw.settings import write_template as write_template
    from infusionlaw.study.study import Study as Study

_HOMES = {
    "Alternative": "law.planning.plan",
    "Conditions": "law.surfaces.conditions",
    "InputError": "errors",
    "Lab": "runners.local",
    "Law": "law.scaling.law",
    "Plan": "law.planning.plan",
    "Point": "law.points.point",
    "Points": "law.points.points",
    "RULES": "law.planning.rules",
    "Rule": "law.planning.rules",
    "RunRecord": "runs.record",
    "RunSpec": "runs.record",
    "SURFACES": "law.surfaces.known",
    "Study": "study.study",
    "StudyFile": "settings",
    "dry_run": "pipeline",
    "export_run": "runners.execute",
    "find_points": "law.points.find",
    "fit_law": "law.scaling.fit",
    "fit_surface": "law.surfaces.fit",
    "law_text": "report.words",
    "next_runs": "law.design.next_runs",
    "other_answers": "law.planning.rules",
    "plan_text": "report.words",
    "points_text": "report.words",
    "power": "law.design.power",
    "predict": "law.planning.plan",
    "read_law": "law.scaling.law",
    "read_losses": "law.surfaces.losses",
    "read_plan": "law.planning.plan",
    "read_points": "law.points.point",
    "read_study_file": "settings",
    "read_table": "runs.table",
    "run_study": "pipeline",
    "score_through_loss": "law.surfaces.scores",
    "status_text": "report.status",
    "tolerated_share": "law.surfaces.fit",
    "under_rule": "law.planning.rules",
    "verdict_text": "report.page",
    "write_law": "law.scaling.law",
    "write_plan": "law.planning.plan",
    "write_points": "law.points.point",
    "write_report": "pipeline",
    "write_table": "runs.table",
    "write_template": "settings",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a type checker that saw this would take any name for one of ours

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module 'infusionlaw' has no attribute {name!r}")
        return getattr(import_module(f"infusionlaw.{_HOMES[name]}"), name)
