"""A family of runs: where its points lie, its law, and what was predicted from it."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.analysis.findings import NAMES, Findings
from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import number
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.law import KindLaw
from infusionlaw.report.figures import write_figures
from infusionlaw.report.plotdata import panels
from infusionlaw.runs.record import RunRecord

LEAST_WEIGHT = 0.05  # of a form that is worth a word
FIGURES = ("law", "dose-response", "validation-loss")
DRAWN = {"reshaped": "main", "larger": "second"}  # the folder of a family's figures, below that of the pages
Content = dict[str, Any]


def family(findings: Findings, name: str) -> Content:
    """What the page of a family needs."""
    experiment, design = findings.experiment(name), findings.experiment(name).study.design
    fitted, points = experiment.fitted, findings.own_points(name)
    places: dict[tuple[float, float], dict[Kind, Point]] = {}
    for point in points:
        places.setdefault((point.size, point.tokens), {})[point.kind] = point
    last = max(row.share or 0.0 for row in fitted)
    largest = [row for row in fitted if (row.share or 0.0) > last - 0.005]
    doses_and_seeds = (len(design.shares) + 1) * len(design.seeds) + len(design.once)
    return {
        "rows": fitted,
        "asked": len(design.places) * doses_and_seeds,
        "seeds": sorted({row.seed for row in fitted if row.seed is not None}),
        "shares": sorted({round(row.share or 0.0, 3) for row in fitted}),
        "sizes": sorted({row.size for row in fitted}),
        "tokens": sorted({row.tokens for row in fitted}),
        "places": sorted(places.items()),
        "early": sum(point.kind == "acquisition" and point.status == "before the grid" for point in points),
        "tolerance": {"rise": experiment.study.law.tolerance, **_range(points, "tolerance")},
        "last": {score: _mean(largest, score) for score in ("recall", "verbatim_recall", "unseen_recall")},
        "kinds": [_kind(kind) for kind in findings.law(name).kinds],
        "images": _images(name, points),
        "comparison": findings.comparisons[name],
        "cost": _cost(fitted, experiment.held_out),
    }


def _range(points: Sequence[Point], kind: Kind) -> dict[str, float]:
    """The smallest and the largest share at which points of a kind were found."""
    found = [p.share.value for p in points if p.kind == kind and p.share.value is not None]
    return {"low": min(found), "high": max(found)}


def _mean(rows: Sequence[RunRecord], score: str) -> float:
    return fmean(value for row in rows if (value := getattr(row, score)) is not None)


def _kind(law: KindLaw) -> Content:
    """A kind's law as a row: its forms by weight, exponents and scatter."""
    believed = sorted((form for form in law.forms if form.weight >= LEAST_WEIGHT), key=lambda form: -form.weight)
    found = law.coefficients
    return {
        "name": NAMES[law.kind],
        "forms": [(form.form.name, 100 * form.weight) for form in believed],
        "reason": law.reason,
        "notes": law.notes,
        **{what: found.get(what, Interval()) for what in ("size", "tokens", "scatter")},
    }


def _images(name: str, points: Sequence[Point]) -> list[tuple[str, str]]:
    """What a figure shows, and its file as the page calls it."""
    tokens = [number(each) for each in sorted({point.tokens for point in points})]
    several = len(tokens) > 1
    return [
        (f"{figure} at {each} tokens", f"{DRAWN[name]}/{figure}{f'-{each}' if several else ''}.png")
        for figure in FIGURES
        for each in tokens
    ]


def draw(findings: Findings, folder: Path) -> None:
    """Draw the figures of both families into folders below that of the pages."""
    for name, own in DRAWN.items():
        points = findings.own_points(name)
        places = {(point.size, point.tokens) for point in points}
        rows = [row for row in findings.experiment(name).rows if (row.size, row.tokens) in places]
        write_figures(folder / own, panels(rows, points), findings.law(name), findings.comparisons[name], "png")


def operations(row: RunRecord) -> float:
    """Floating-point operations of a run: 6 a parameter and token."""
    return 6 * (row.total_size or row.size) * row.tokens


def _cost(fitted: Sequence[RunRecord], held: Sequence[RunRecord]) -> Content:
    """What the small models cost, beside the same doses and seeds at the largest target."""
    largest = max(held, key=operations)
    doses = len({(round(row.share or 0.0, 3), row.seed) for row in fitted})
    small, large = sum(map(operations, fitted)), doses * operations(largest)
    return {"small": small, "large": large, "times": large / small, "target": largest}
