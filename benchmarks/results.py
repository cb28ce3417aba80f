"""The page of results and its figures, from the committed tables of runs and nothing else.

`results/reference.csv` holds the runs of studies/reference.toml, `results/explanations/NAME.csv` those of
studies/explanations/NAME.toml, `results/predictions/` what was written before the held-out runs were trained. A part
whose table is not there yet is left out of the page.

    python -m benchmarks.results            # writes docs/results.md and docs/results/
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, log10
from pathlib import Path
from typing import Any

from benchmarks.markdown import table
from infusionlaw.chain import fit
from infusionlaw.compare import compare
from infusionlaw.files import read_json, write_text
from infusionlaw.law.dose import Interval
from infusionlaw.law.law import Law
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.records import RunRecord
from infusionlaw.report.figures import write_figures
from infusionlaw.report.numbers import bracket, number, share
from infusionlaw.report.plotdata import panels
from infusionlaw.report.verdict import contrast
from infusionlaw.report.words import law_text
from infusionlaw.table import read_table

TOLERANCE = 0.2  # bits per byte, as in studies/reference.toml
BASE = "base"
# What might explain a collapse away, in the order of the page: study file and what it changes.
EXPLANATIONS = {
    BASE: "nothing changed",
    "rate-half": "learning rate × ½",
    "rate-double": "learning rate × 2",
    "decay-none": "weight decay 0",
    "decay-triple": "weight decay × 3",
    "facts-half": "half the facts",
    "facts-double": "twice the facts",
    "templates-1": "1 statement template a relation",
    "templates-2": "2 statement templates a relation",
    "no-questions": "prior facts never asked",
    "early": "infused early",
    "late": "infused late",
}
NOTHING_PREDICTED: dict[str, Any] = {"points": [], "held_out_runs_already_known": 0}
WHERE: tuple[Kind, ...] = ("collapse", "retention")
NAMES = {"collapse": "collapse of recall", "retention": "collapse of retention"}


@dataclass(frozen=True)
class Shift:
    """How far a point moved, in dex of odds or of exposures, with its 90 % interval."""

    moved: float
    low: float
    high: float

    @property
    def told(self) -> str:
        """`+0.12 [-0.03, +0.27]`, and a word where the interval leaves out 0."""
        clear = "" if self.low <= 0 <= self.high else " **moved**"
        return f"{self.moved:+.2f} [{self.low:+.2f}, {self.high:+.2f}]{clear}"


def shift(base: Interval, other: Interval) -> Shift | None:
    """The difference of two independent points; their half intervals add in quadrature, end by end.

    None where one of them is a bound or open: then no number says how far.
    """
    if base.value is None or base.low is None or base.high is None:
        return None
    if other.value is None or other.low is None or other.high is None:
        return None
    moved = other.value - base.value
    below = hypot(other.value - other.low, base.high - base.value)
    above = hypot(other.high - other.value, base.value - base.low)
    return Shift(moved, moved - below, moved + above)


def explanations(folder: Path) -> str:
    """The table of explanations: each study's points beside those of the base, size by size."""
    tables = {name: folder / f"{name}.csv" for name in EXPLANATIONS}
    found = {name: _points(read_table(path)) for name, path in tables.items() if path.exists()}
    if BASE not in found:
        return ""
    rows = [row for name, points in found.items() for row in _explained(name, points, found[BASE])]
    header = ["what is changed", "size", "point", "share", "moved in odds, dex", "moved in exposures, dex"]
    return f"## What might explain it away\n\n{table(header, rows)}"


def _explained(name: str, points: Sequence[Point], base: Sequence[Point]) -> Iterator[list[str]]:
    before = {(p.kind, p.size): p for p in base}
    for point in points:
        other = before.get((point.kind, point.size))
        if point.kind not in WHERE or other is None:
            continue
        moved = [shift(other.x, point.x), shift(_log_exposures(other), _log_exposures(point))]
        told = ["" if name == BASE else "–" if each is None else each.told for each in moved]
        where = point.status if point.x.value is None else bracket(point.share, share)
        yield [EXPLANATIONS[name], number(point.size), NAMES[point.kind], where, *told]


def _log_exposures(point: Point) -> Interval:
    return point.exposures.map(log10)


def _points(rows: Sequence[RunRecord]) -> list[Point]:
    return find_points(rows, tolerance=TOLERANCE)


def main_grid(rows: Sequence[RunRecord], predictions: Path, figures: Path) -> str:
    """The family of curves, its points, their law, and the predictions beside what came of them."""
    fitted = [row for row in rows if not row.held_out]
    points, law = fit(fitted, TOLERANCE, draws=1000)
    every = _points(rows) if len(fitted) < len(rows) else points
    written = sorted(predictions.glob("*.json"))
    comparison = compare(read_json(written[-1]), every) if written else NOTHING_PREDICTED
    drawings = write_figures(figures, panels(rows, every), law, comparison)
    images = "\n\n".join(f"![{d.name} at {number(d.tokens)} tokens](results/{d.path.stem}.png)" for d in drawings)
    return "\n\n".join(["## The main grid", contrast(fitted), images, points_table(points), _law(law)])


def points_table(points: Sequence[Point]) -> str:
    """Every collapse of the grid, by size and budget."""
    places = sorted({(p.size, p.tokens) for p in points})
    found = {(p.kind, p.size, p.tokens): p for p in points}
    rows = []
    for size, tokens in places:
        own = [found.get((kind, size, tokens)) for kind in ("acquisition", *WHERE)]
        cells = ["–" if p is None else p.status if p.x.value is None else bracket(p.share, share) for p in own]
        rows.append([number(size), number(tokens), *cells])
    return table(["size", "budget", "acquisition", *(NAMES[kind] for kind in WHERE)], rows)


def _law(law: Law) -> str:
    return f"```\n{law_text(law)}\n```"


def page(results: Path, figures: Path) -> str:
    """The whole page."""
    parts = [f"# Results\n{HEAD}"]
    if (results / "reference.csv").exists():
        parts.append(main_grid(read_table(results / "reference.csv"), results / "predictions", figures))
    parts.append(explanations(results / "explanations"))
    return "\n\n".join(part for part in parts if part) + "\n"


HEAD = """
Made from the tables in `results/` by `python -m benchmarks.results`; points are shares of the budget with
90 % intervals.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    given = parser.parse_args(arguments)
    write_text(given.out, page(given.results, given.out.with_suffix("")))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
