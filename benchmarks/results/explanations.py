"""What might explain a collapse away: each study beside the runs of the grid that differ from it in one setting.

A point's move is the difference of two points, in dex of odds and of exposures. Runs of equal size, budget, share and
seed differ in nothing else, so their scores are compared in pairs, over the shares from NEAR on. Runs of one trunk are
not independent: the standard error is that of the trunks' means.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, log10, sqrt
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.markdown import table
from benchmarks.results.grid import FALLS, NAMES, Grid, cell
from infusionlaw.law.dose import Interval
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.records import RunRecord
from infusionlaw.report.numbers import number
from infusionlaw.table import read_table

# In the order of the page: study file and what it changes.
EXPLANATIONS = {
    "rate-half": "learning rate × ½",
    "rate-double": "learning rate × 2",
    "decay-none": "weight decay 0",
    "decay-triple": "weight decay × 3",
    "facts-double": "twice the facts",
    "templates-1": "1 statement template a relation",
    "templates-2": "2 statement templates a relation",
    "no-questions": "prior facts never asked",
    "early": "infused early",
    "late": "infused late",
}
# Twice the domain facts take the subjects that were the prior facts: other prior facts, not the same ones changed.
UNPAIRED = "With twice the facts the prior facts are others, so that retention is not of the same facts."
NEAR = 0.7
SCORES = ("recall", "surface_recall", "retention", "general_loss")


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


def explanations(folder: Path, grid: Grid | None) -> str:
    """Both tables: by how much points moved, and by how much scores near the collapse changed; "" without a grid."""
    tables = {name: folder / f"{name}.csv" for name in EXPLANATIONS}
    found = {name: read_table(path) for name, path in tables.items() if path.exists()}
    if grid is None or not found:
        return ""
    moves = [row for name, rows in found.items() for row in _moved(name, rows, grid)]
    pairs = [[EXPLANATIONS[name], *_changed(paired(grid.rows, rows))] for name, rows in found.items()]
    header = [
        "what is changed",
        "size",
        "budget",
        "point",
        "was",
        "is",
        "moved, dex of odds",
        "of exposures",
    ]
    names = ["what is changed", "trunks", *(score.replace("_", " ") for score in SCORES)]
    return "\n\n".join(
        [
            "## What might explain it away",
            f"Scores of pairs of runs at shares from {NEAR:g} on, as changed minus as it was: mean ± standard error "
            f"over trunks (size, share and seed). {UNPAIRED}",
            table(names, pairs),
            "Where the points lie:",
            table(header, moves),
        ]
    )


def _moved(name: str, rows: Sequence[RunRecord], grid: Grid) -> Iterator[list[str]]:
    before = {(p.kind, p.size, p.tokens): p for p in grid.fitted}
    for point in find_points(rows, tolerance=grid.tolerance):
        other = before.get((point.kind, point.size, point.tokens))
        if point.kind not in FALLS or other is None:
            continue
        moved = [shift(other.x, point.x), shift(_log_exposures(other), _log_exposures(point))]
        told = ["–" if each is None else each.told for each in moved]
        where = [number(point.size), number(point.tokens), NAMES[point.kind]]
        yield [EXPLANATIONS[name], *where, cell(other), cell(point), *told]


def _log_exposures(point: Point) -> Interval:
    return point.exposures.map(log10)


def paired(base: Sequence[RunRecord], rows: Sequence[RunRecord]) -> list[tuple[RunRecord, RunRecord]]:
    """Runs near the collapse with the run of the base that has the same size, budget, share and seed."""
    known = {_place(row): row for row in base}
    return [
        (known[_place(row)], row)
        for row in rows
        if (row.share or 0.0) >= NEAR and _place(row) in known and None not in (row.recall, known[_place(row)].recall)
    ]


def _place(row: RunRecord) -> tuple[float, float, float, int | None]:
    return row.size, row.tokens, round(row.share or 0.0, 2), row.seed


def _changed(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> list[str]:
    trunks: dict[tuple[float, float, int | None], list[tuple[RunRecord, RunRecord]]] = {}
    for was, now in pairs:
        size, _, dose, seed = _place(now)
        trunks.setdefault((size, dose, seed), []).append((was, now))
    cells = [str(len(trunks))]
    for score in SCORES:
        each = [
            [getattr(now, score) - getattr(was, score) for was, now in trunk if _both(was, now, score)]
            for trunk in trunks.values()
        ]
        moved = [fmean(trunk) for trunk in each if trunk]
        error = f" ± {stdev(moved) / sqrt(len(moved)):.2f}" if len(moved) > 1 else ""
        cells.append(f"{fmean(moved):+.2f}{error}" if moved else "–")
    return cells


def _both(was: RunRecord, now: RunRecord, score: str) -> bool:
    return getattr(was, score) is not None and getattr(now, score) is not None
