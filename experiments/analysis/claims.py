"""The first page: what the studies say of the three claims, and every prediction that runs have tested."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from experiments.analysis.evidence import TRIALS
from experiments.analysis.findings import FALLS, NAMES, Findings
from experiments.analysis.studies import acquisition_exponents
from infusionlaw.law.dose import LEVEL, Interval
from infusionlaw.law.numbers import listed, number
from infusionlaw.law.planning.compare import ComparedPoint, Comparison
from infusionlaw.law.points.point import Kind

TITLES = {"reshaped": "main grid", "larger": "second family"}
Content = dict[str, Any]


def claims(findings: Findings) -> Content:
    comparisons = findings.comparisons
    rows = [row for name in ("reshaped", "larger") for row in findings.experiment(name).rows]
    held = []
    for kind in FALLS:
        judged = [p for comparison in comparisons.values() for p in comparison.of(kind) if p.inside is not None]
        held.append({"name": NAMES[kind], **_counted(judged)})
    scores = [score.inside for comparison in comparisons.values() for score in comparison.scores]
    held.append({"name": "scores at chosen doses", "held": sum(scores), "count": len(scores)})
    return {
        "families": [_family(findings, name) for name in ("reshaped", "larger")],
        "held": [{**each, "part": _proportion(each["held"], each["count"])} for each in held],
        "trials": [_trial(trial.law, trial.name, comparisons[trial.name]) for trial in TRIALS],
        "sizes": (min(row.size for row in rows), max(row.size for row in rows)),
        "tokens": (min(row.tokens for row in rows), max(row.tokens for row in rows)),
        "onset": acquisition_exponents(findings)[1],
        "made_from": _made_from(findings.root),
    }


def _family(findings: Findings, name: str) -> Content:
    """What a family says of the first two claims."""
    points, law = findings.fitted_points(name), findings.law(name)
    falls = []
    for kind in FALLS:
        own = [point for point in points if point.kind == kind]
        found = [point.share.value for point in own if point.status == "found" and point.share.value is not None]
        exponents = law.of(kind).coefficients
        ends = {"low": min(found), "high": max(found)} if found else {"low": None, "high": None}
        falls.append(
            {"kind": "recall" if kind == "collapse" else kind, "found": len(found), "count": len(own), **ends}
            | {what: exponents.get(what, Interval()) for what in ("size", "tokens")}
        )
    return {"page": name, "title": TITLES[name], "rows": findings.experiment(name).fitted, "falls": falls}


def _trial(law: str, name: str, comparison: Comparison) -> Content:
    """A prediction's row in the table of all."""
    by_size: dict[float, list[str]] = {}
    for size, tokens in (target for target in comparison.targets if target not in comparison.untried):
        by_size.setdefault(size, []).append(number(tokens))
    scores = [score.inside for score in comparison.scores]
    return {
        "law": law,
        "page": name,
        "asked": "; ".join(f"{number(size)} at {listed(tokens)}" for size, tokens in by_size.items()),
        "falls": [points_held(comparison, kind) for kind in FALLS],
        "scores": {"held": sum(scores), "count": len(scores)},
    }


def _made_from(root: Path) -> Content:
    """How many files the pages are made from, and a hash of them all."""
    files = sorted(path for path in root.rglob("*") if path.suffix in (".csv", ".json"))
    each = [f"{file.relative_to(root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    return {"files": len(files), "sha256": hashlib.sha256("\n".join(each).encode()).hexdigest()[:16]}


def points_held(comparison: Comparison, *kinds: Kind) -> Content:
    """Of the points of some kinds how many the intervals held, and how many agree by both errors."""
    return _counted([point for kind in kinds for point in comparison.of(kind) if point.inside is not None])


def _counted(judged: Sequence[ComparedPoint]) -> Content:
    return {
        "held": sum(bool(point.inside) for point in judged),
        "agreeing": sum(bool(point.agrees) for point in judged),
        "count": len(judged),
        "errors": [point.error_dex for point in judged if point.error_dex is not None],
    }


def _proportion(held: int, count: int) -> Interval:
    """A share of hits with its 90 % interval (Wilson)."""
    if not count:
        return Interval()
    ends = binomtest(held, count).proportion_ci(LEVEL, "wilson")
    return Interval(held / count, float(ends.low), float(ends.high))
