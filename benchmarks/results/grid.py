"""A grid of runs: its points, law and figures, and the prediction that was made from it."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from benchmarks.markdown import table
from benchmarks.results.tradeoff import write_tradeoff
from infusionlaw.errors import InputError
from infusionlaw.files import read_json
from infusionlaw.law.numbers import bracket, listed, number, share
from infusionlaw.law.planning.compare import Comparison, compare
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Kind, Point
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.law.scaling.law import Law
from infusionlaw.pipeline import with_held_out
from infusionlaw.report.figures import write_figures
from infusionlaw.report.plotdata import panels
from infusionlaw.report.verdict import contrast
from infusionlaw.report.words import law_text
from infusionlaw.runs.record import RunRecord
from infusionlaw.runs.table import read_table, table_hash
from infusionlaw.settings import StudyFile

STUDIES = Path(__file__).parents[2] / "studies"
FALLS: tuple[Kind, ...] = ("collapse", "retention")
NAMES: dict[Kind, str] = {
    "acquisition": "acquisition",
    "collapse": "collapse of recall",
    "retention": "collapse of retention",
    "tolerance": "tolerance of validation loss",
}
LEAST_DOSES = 4
NOTHING_PREDICTED = Comparison(written="", table_sha256="", already_known=0)


@dataclass(frozen=True)
class Grid:
    """A study: its file, all rows, the points of the fitted and of all rows, and the comparison."""

    study: StudyFile
    rows: tuple[RunRecord, ...]
    fitted: tuple[Point, ...]
    points: tuple[Point, ...]
    comparison: Comparison

    @cached_property
    def law(self) -> Law:
        """The law of the fitted rows."""
        return fit_law(self.fitted_rows, self.fitted)

    @property
    def fitted_rows(self) -> list[RunRecord]:
        """The rows that the law was fitted to."""
        return [row for row in self.rows if not row.held_out]

    @property
    def tolerance(self) -> float:
        """The rise of validation loss that its tolerance points are of, bits per byte."""
        return self.study.law.tolerance


def study_of(name: str) -> StudyFile:
    """Read the study file of a folder of tables, whatever recipe its runs were made with."""
    content = tomllib.loads((STUDIES / f"{name}.toml").read_text(encoding="utf8"))
    content["training"] = {key: value for key, value in content.get("training", {}).items() if key != "recipe"}
    return StudyFile.model_validate(content)


def read_grid(folder: Path) -> Grid | None:
    """The grid of a study's folder below results/: runs.csv, and the prediction.json made from it, if any; or None."""
    if not (folder / "runs.csv").exists():
        return None
    study = study_of(folder.name)
    rows = curves_of(read_table(folder / "runs.csv"))
    used = [row for row in rows if not row.held_out]
    fitted = find_points(used, tolerance=study.law.tolerance, draws=study.law.draws)
    points = with_held_out(fitted, rows, study.law.tolerance, study.law.draws)
    held = [row for row in rows if row.held_out]
    return Grid(study, tuple(rows), tuple(fitted), tuple(points), _compared(folder, used, points, held))


def curves_of(rows: Sequence[RunRecord]) -> list[RunRecord]:
    """The rows of sizes and token counts of which enough doses have been run to see a curve."""
    doses: dict[tuple[float, float], set[float | None]] = {}
    for row in rows:
        doses.setdefault((row.size, row.tokens), set()).add(row.share)
    return [row for row in rows if len(doses[row.size, row.tokens]) >= LEAST_DOSES]


def _compared(
    folder: Path, used: Sequence[RunRecord], points: Sequence[Point], held: Sequence[RunRecord]
) -> Comparison:
    """The folder's prediction beside what came of it; InputError when it was made from other runs."""
    path = folder / "prediction.json"
    if not path.exists():
        return NOTHING_PREDICTED
    if read_json(path)["table_sha256"] != table_hash(used):
        raise InputError(f"{path}: was made from another table than {folder / 'runs.csv'}; put back that table")
    return compare(read_json(path), points, held)


def shown(grid: Grid, figures: Path) -> str:
    """The family of curves, its points and their law; the figures are drawn into a folder."""
    images = [
        f"![{drawing.name} at {number(drawing.tokens)} tokens]({_link(drawing.path, figures)})"
        for drawing in write_figures(figures, panels(grid.rows, grid.points), grid.law, grid.comparison, ["png"])
    ]
    images.append(f"![retention against recall]({_link(write_tradeoff(figures, grid.rows), figures)})")
    lost = (
        f"{contrast(grid.fitted_rows)} The tolerance is a rise of validation loss by {grid.tolerance:g} bits per byte."
    )
    return "\n\n".join([_runs(grid), lost, points_table(grid), _law(grid.law), *images])


def _link(path: Path, figures: Path) -> str:
    """A figure as the page calls it: figures are two folders below it, the study's in that of the page."""
    return f"{figures.parent.name}/{figures.name}/{path.name}"


def _runs(grid: Grid) -> str:
    """How many runs there are so far, of which sizes, token counts, doses and seeds."""
    rows, asked = grid.fitted_rows, grid.study.design
    doses_and_seeds = (len(asked.shares) + 1) * len(asked.seeds) + len(asked.once)
    whole = len(asked.sizes) * len(asked.tokens) * doses_and_seeds
    sizes, token_counts = sorted({row.size for row in rows}), sorted({row.tokens for row in rows})
    doses = sorted({round(row.share or 0.0, 3) for row in rows})
    left = "" if len(rows) >= whole else f" of {whole} that the study asks for; the rest has not been run yet"
    return (
        f"{len(rows)} runs{left}. Sizes {listed([number(size) for size in sizes])}; token counts "
        f"{listed([number(tokens) for tokens in token_counts])} tokens; "
        f"shares {listed([f'{dose:g}' for dose in doses])}; "
        f"seeds {listed([str(seed) for seed in sorted({row.seed or 0 for row in rows})])}."
    )


def points_table(grid: Grid) -> str:
    """Every point by size and token count, and beside them verbatim recall at the largest share run there."""
    found = {(p.kind, p.size, p.tokens): p for p in grid.points}
    rows = []
    for size, tokens in sorted({(p.size, p.tokens) for p in grid.points}):
        own = [found.get((kind, size, tokens)) for kind in NAMES]
        here = [row for row in grid.rows if (row.size, row.tokens) == (size, tokens)]
        cells = ["–" if p is None else cell(p) for p in own]
        rows.append([number(size), number(tokens), *cells, _surface(here)])
    return table(["size", "tokens", *NAMES.values(), "verbatim recall at the largest share"], rows)


def _surface(rows: Sequence[RunRecord]) -> str:
    largest = max(row.share or 0.0 for row in rows)
    seen = [row.verbatim_recall for row in rows if (row.share or 0.0) > largest - 0.005]
    known = [value for value in seen if value is not None]
    return f"{fmean(known):.2f}" if known else "–"


def cell(point: Point) -> str:
    """A point's share with its interval, or its status and bound."""
    where = bracket(point.share, share)
    return where if point.status == "found" else f"{point.status}: {where}" if where != "-" else point.status


def _law(law: Law) -> str:
    return f"```\n{law_text(law)}\n```"
