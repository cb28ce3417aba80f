"""The grid whose larger models had many narrow heads: its trial, and the same runs with at most four of them."""

from collections.abc import Sequence

from benchmarks.markdown import table
from benchmarks.results.grid import Grid, curves_of
from benchmarks.results.pairs import HEADINGS, changes, paired
from benchmarks.results.predictions import told
from infusionlaw.law.dose import Interval
from infusionlaw.law.numbers import bracket, number
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.law.points.find import find_points
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.runs.record import RunRecord

ASKED = """The grid before the main one, `studies/extended.toml`, had the fixed recipe and ten sizes of up to 1.8 M.
Its law was asked for four times that size."""

HEADS = """What it said worst is recall, which collapsed later, but within its intervals, and validation loss, which
came out lower. One cause is the shape of its largest models: the recipe gave 452 k, 1.07 M and 1.8 M six, nine and
eleven heads of width 16, and 7.2 M five of 64. The third version of the recipe has at most four heads from 190,000 to
4.4 M parameters, and the main grid is trained with it. The same runs from a share of .7 on, main grid minus that one,
mean ± standard error over trunks:"""

OUTCOME = """From 1 M on validation loss is lower with few heads. Recall and retention near the collapse are higher
there, and as much at 267 k, where five heads of 16 became four of 20; at 452 k, with four in place of six, nothing
shows. The odds of the share at the collapse of recall go as size to the power of {size} in the grid with many; the
main grid's power is at the top of the page."""
NEAR = 0.7


def heads(comparison: Comparison | None, rows: Sequence[RunRecord], main: Grid) -> str:
    """The prediction from `rows` with its outcome, and by size how the scores change in the main grid; "" without."""
    if comparison is None:
        return ""
    many = [row for row in rows if not row.held_out]
    lines = []
    for size in sorted({row.size for row in main.fitted_rows}):
        pairs = paired(many, [row for row in main.fitted_rows if row.size == size], NEAR)
        if any(was.recall != now.recall for was, now in pairs):
            lines.append([number(size), str(len(pairs)), *changes(pairs)])
    outcome = OUTCOME.format(size=bracket(_power(many), "{:.2f}".format))
    return "\n\n".join(
        ["## Many heads or few", ASKED, *told(comparison), HEADS, table(["size", "runs", *HEADINGS], lines), outcome]
    )


def _power(rows: Sequence[RunRecord]) -> Interval:
    """Exponent of size of the collapse of recall."""
    rows = curves_of(rows)
    return fit_law(rows, find_points(rows)).of("collapse").coefficients.get("size", Interval())
