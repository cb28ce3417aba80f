"""What a page is made from: a finished study's folder, or a table or a law of anybody with the plan for one target."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infusionlaw.errors import InputError
from infusionlaw.law.planning.compare import Comparison, compare, read_comparison
from infusionlaw.law.planning.plan import Plan, predict, read_plan
from infusionlaw.law.planning.predictions import WrittenPlan, WrittenPredictions
from infusionlaw.law.points.point import Point, read_points
from infusionlaw.law.scaling.ladder import ladder_of
from infusionlaw.law.scaling.law import Law, read_law
from infusionlaw.runs.outcomes import TOLERANCE
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table, table_text
from infusionlaw.study.study import open_folder

NEEDED = ("table.csv", "fitted.csv", "points.json", "law.json", "comparison.json", "plan.json")
NOTHING_HELD_OUT = Comparison("", "", 0)
TIMES = 4.0  # the largest size tried, of a target that nobody stated


@dataclass(frozen=True)
class Material:
    """Everything that a page shows.

    source: the name of the file that it is about, without its folder; folder: where a study is, None where it is none.
    """

    title: str
    source: str
    law: Law
    plan: Plan
    points: tuple[Point, ...]
    rows: tuple[RunRecord, ...] = ()
    comparison: Comparison = NOTHING_HELD_OUT
    folder: Path | None = None

    @property
    def tolerance(self) -> float | None:
        """The rise of validation loss that the points were found for; None where none was."""
        return next((point.level for point in self.points if point.kind == TOLERANCE.name), None)

    def table_csv(self) -> bytes:
        """The runs as a CSV file."""
        return (self.folder / "table.csv").read_bytes() if self.folder else table_text(self.rows).encode()


def read_material(folder: Path) -> Material:
    """Read a study's results; InputError when the folder is no study, or the study is not finished."""
    study = open_folder(folder)
    for name in NEEDED:
        if not (folder / name).exists():
            raise InputError(f"{folder}: {name} is not there yet; run the study file again to finish the study")
    return Material(
        title=study.file.name,
        source="law.json",
        law=read_law(folder / "law.json"),
        plan=read_plan(folder / "plan.json"),
        points=tuple(read_points(folder / "points.json")),
        rows=tuple(read_table(folder / "table.csv")),
        comparison=read_comparison(folder / "comparison.json"),
        folder=folder,
    )


def material_of(
    source: Path, law: Law, plan: Plan, points: Sequence[Point] = (), rows: Sequence[RunRecord] = ()
) -> Material:
    """Return what a page shows of a table's rows, or of a law alone. points: those of held-out rows as well."""
    known = tuple(points) or tuple(point for kind in law.kinds for point in kind.points)
    comparison = _held_out(law, plan, known, [row for row in rows if row.held_out])
    return Material(source.name, source.name, law, plan, known, tuple(rows), comparison)


def _held_out(law: Law, plan: Plan, points: Sequence[Point], rows: Sequence[RunRecord]) -> Comparison:
    """What the law says of held-out rows, which it was not fitted to, beside what came of them."""
    varied = any("facts" in kind.varied for kind in law.kinds)
    places = sorted({(row.size, row.tokens, row.facts if varied else None) for row in rows})
    plans = [
        predict(law, size, tokens, facts, tolerance=plan.target.tolerance, extrapolate=True)
        for size, tokens, facts in places
        if facts is not None or not varied
    ]
    written = [WrittenPlan((each.target.size, each.target.tokens), "", 0, each) for each in plans]
    return compare(WrittenPredictions("", law.table, tuple(written)), points, rows)


def usual_target(law: Law) -> tuple[float, float]:
    """The size and tokens to plan for where nobody states them: four times the largest size.

    The tokens are the most that were tried; where they rose with the size, they go on as they rose (`ladder`).
    """
    size = _round(TIMES * max(law.sizes))
    ladder = ladder_of(sorted({(point.size, point.tokens) for kind in law.kinds for point in kind.points}))
    return size, _round(float(ladder.tokens(size)) if ladder else max(law.token_counts))


def _round(value: float) -> float:
    """To three digits."""
    return float(f"{value:.3g}")
