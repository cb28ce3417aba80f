"""The pages of docs/results: which there are, and how their templates write what was found."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from experiments.analysis import studies
from experiments.analysis.claims import claims, points_held
from experiments.analysis.explanations import Shift
from experiments.analysis.families import family
from experiments.analysis.findings import FALLS, NAMES, Findings
from experiments.analysis.pairs import Change
from infusionlaw.law.numbers import bracket, listed, number, share, when
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.law.points.point import Point

Content = dict[str, Any]


def _trial(name: str) -> Callable[[Findings], Content]:
    """Of a study that is a prediction and nothing else."""
    return lambda findings: {"comparison": findings.comparisons[name]}


PAGES: dict[str, Callable[[Findings], Content]] = {
    "index": claims,
    "reference": studies.reference,
    "repaired": studies.repaired,
    "explanations": studies.explanations,
    "retuned": studies.retuned,
    "extended": studies.extended,
    "reshaped": partial(family, name="reshaped"),
    "onset": studies.onset,
    "longer": studies.longer,
    "longer-again": _trial("longer-again"),
    "longer-larger": _trial("longer-larger"),
    "other-seeds": studies.other_seeds,
    "copying": studies.copying,
    "millions": studies.millions,
    "rarer": _trial("rarer"),
    "larger": partial(family, name="larger"),
}


def render(findings: Findings) -> dict[str, str]:
    """Every page by its name."""
    templates = _templates()
    return {name: _tidy(templates.get_template(f"{name}.md").render(make(findings))) for name, make in PAGES.items()}


def _tidy(page: str) -> str:
    return re.sub(r"\n{3,}", "\n\n", page.strip()) + "\n"


def _templates() -> Environment:
    # Nothing is escaped: pages are Markdown, and all that they are made from is ours.
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    out = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    out.filters |= {"number": number, "share": share, "when": when, "listed": listed, "point": _point}
    out.filters |= {"shares": partial(bracket, show=share), "decimals": partial(bracket, show="{:.2f}".format)}
    out.filters |= {"fixed": "{:.2f}".format, "signed": "{:+.2f}".format, "short": "{:.3g}".format}
    out.filters |= {"change": _change, "shift": _shift}
    out.globals |= {"NAMES": NAMES, "FALLS": FALLS, "score_rows": score_rows, "points_held": points_held}
    return out


def _point(point: Point | None) -> str:
    """A point's share with its interval, its bound, or its status."""
    if point is None:
        return "–"
    where = bracket(point.share, share)
    bound = point.share.value is None and where != "-"
    return where if point.status == "found" or bound else point.status


def _change(change: Change) -> str:
    error = "" if change.error is None else f" ± {change.error:.2f}"
    return "–" if change.mean is None else f"{change.mean:+.2f}{error}"


def _shift(moved: Shift | None) -> str:
    return "–" if moved is None else f"{moved.moved:+.2f} [{moved.low:+.2f}, {moved.high:+.2f}]"


def score_rows(comparison: Comparison) -> list[Content]:
    """By score how many of the predictions held, and how far off they were."""
    out = []
    for name, label in (("recall", "recall"), ("retention", "retention"), ("val_bpb", "validation loss")):
        scores = [score for score in comparison.scores if score.score == name]
        if scores:
            errors, held = [score.error for score in scores], sum(score.inside for score in scores)
            row = {"name": label, "held": held, "count": len(scores)}
            out.append(row | {"mean": fmean(errors), "largest": max(errors, key=abs)})
    return out
