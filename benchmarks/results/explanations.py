"""What might explain a collapse away: each study beside the runs of the grid that differ from it in one setting.

A point's move is the difference of two points, in dex of odds and of exposures. Runs of equal size, token count, share
and seed differ in nothing else, so their scores are compared in pairs, over the shares from NEAR on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, log10
from pathlib import Path
from statistics import fmean

from benchmarks.markdown import table
from benchmarks.results.grid import FALLS, NAMES, Grid, cell
from benchmarks.results.pairs import HEADINGS, changes, paired
from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import number
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Point
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table

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
MOVES = ["what is changed", "size", "tokens", "point", "was", "is", "moved, dex of odds", "of exposures"]


@dataclass(frozen=True)
class Shift:
    """How far a point moved, in dex of odds or of exposures, with its 90 % interval."""

    moved: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high

    @property
    def told(self) -> str:
        """`+0.12 [-0.03, +0.27]`, and a word where it is clear."""
        return f"{self.moved:+.2f} [{self.low:+.2f}, {self.high:+.2f}]{' **moved**' if self.clear else ''}"


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


@dataclass(frozen=True)
class Move:
    """A point of the grid and of an explanation, and how far apart they lie; None where no number says how far."""

    was: Point
    now: Point
    odds: Shift | None
    exposures: Shift | None


def explanations(folder: Path, grid: Grid | None) -> str:
    """Both tables: by how much scores near the collapse changed, and by how much points moved; "" without a grid."""
    tables = {name: folder / f"{name}.csv" for name in EXPLANATIONS}
    found = {name: read_table(path) for name, path in tables.items() if path.exists()}
    if grid is None or not found:
        return ""
    moves = {name: list(_moves(rows, grid)) for name, rows in found.items()}
    changed = [
        [EXPLANATIONS[name], *changes(paired(grid.rows, rows, NEAR)), *_counted(moves[name])]
        for name, rows in found.items()
    ]
    parts = [
        "## What might explain it away",
        f"Scores of pairs of runs at shares from {NEAR:g} on, as changed minus as it was: mean ± standard error over "
        f"trunks (size, share and seed). {UNPAIRED} Then of how many collapses of recall and retention it can be told "
        "whether they moved, and how many did.",
        table(["what is changed", *HEADINGS, "points told", "moved"], changed),
        _unit(moves.get("facts-double", [])),
        "Where the points lie:",
        table(MOVES, [_cells(name, move) for name, each in moves.items() for move in each]),
    ]
    return "\n\n".join(part for part in parts if part)


def _moves(rows: Sequence[RunRecord], grid: Grid) -> Iterator[Move]:
    before = {(p.kind, p.size, p.tokens): p for p in grid.fitted}
    for now in find_points(rows, tolerance=grid.tolerance):
        was = before.get((now.kind, now.size, now.tokens))
        if now.kind in FALLS and was is not None:
            yield Move(was, now, shift(was.x, now.x), shift(_log_exposures(was), _log_exposures(now)))


def _counted(moves: Sequence[Move]) -> list[str]:
    told = [move.odds for move in moves if move.odds is not None]
    return [f"{len(told)} of {len(moves)}", str(sum(each.clear for each in told))]


def _unit(moves: Sequence[Move]) -> str:
    """Which unit makes the points of twice the facts line up with the others."""
    told = [(move.odds.moved, move.exposures.moved) for move in moves if move.odds and move.exposures]
    if not told:
        return ""
    odds, exposures = (fmean(each) for each in zip(*told, strict=True))
    unit = "share" if abs(odds) < abs(exposures) else "number of exposures of each fact"
    return (
        f"With twice the facts the {len(told)} points that can be told lie {odds:+.2f} dex of the share's odds from "
        f"where they were, and {exposures:+.2f} dex of exposures (at the same share a fact is stated half as often, "
        f"which is -0.30): it is the {unit} that makes them line up."
    )


def _cells(name: str, move: Move) -> list[str]:
    shifts = ["–" if each is None else each.told for each in (move.odds, move.exposures)]
    where = [number(move.now.size), number(move.now.tokens), NAMES[move.now.kind]]
    return [EXPLANATIONS[name], *where, cell(move.was), cell(move.now), *shifts]


def _log_exposures(point: Point) -> Interval:
    return point.exposures.map(log10)
