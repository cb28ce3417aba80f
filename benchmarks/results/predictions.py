"""What was predicted before the held-out runs were trained, beside what came of them."""

from benchmarks.markdown import table
from benchmarks.results.grid import Grid
from infusionlaw.law.numbers import listed, number, when
from infusionlaw.law.planning.compare import Comparison
from infusionlaw.report.outcomes import POINTS, SCORES, point_rows, regrets, score_rows
from infusionlaw.runs.record import RunRecord


def predictions(grid: Grid, head: str) -> str:
    """Under a heading the tables of points, scores and regrets, and what the advice would have saved; "" without a
    prediction."""
    comparison = grid.comparison
    if not comparison.written:
        return ""
    return "\n\n".join([head, *told(comparison), *_saved(grid)])


def told(comparison: Comparison) -> list[str]:
    """A prediction beside its outcome: when it was written and from what, points, scores and regrets."""
    known = comparison.already_known
    ahead = "before any held-out run was trained" if not known else f"when {known} held-out runs were already known"
    untried = listed([f"{number(size)} parameters at {number(tokens)} tokens" for size, tokens in comparison.untried])
    return [
        f"Written {when(comparison.written)}, {ahead}, from the table whose SHA-256 begins with "
        f"`{comparison.table_sha256[:12]}`.",
        *(tables(comparison) or ["No held-out run has been trained yet."]),
        *([f"Predicted and not run yet: {untried}."] if untried and tables(comparison) else []),
        *regrets(comparison),
    ]


def tables(comparison: Comparison) -> list[str]:
    """The table of points and that of scores, those that have rows."""
    each = ((POINTS, point_rows(comparison)), (SCORES, score_rows(comparison)))
    return [table(header, rows) for header, rows in each if rows]


def _saved(grid: Grid) -> list[str]:
    """What the grid of small models cost, beside the same doses and seeds at the largest target."""
    held = [row for row in grid.rows if row.held_out]
    if not held:
        return []
    largest = max(held, key=lambda row: (row.total_size or row.size) * row.tokens)
    doses = len({(round(row.share or 0.0, 3), row.seed) for row in grid.fitted_rows})
    small, large = sum(map(operations, grid.fitted_rows)), doses * operations(largest)
    return [
        f"The grid took {small:.2g} floating-point operations (6 a parameter and token, each run counted whole); as "
        f"many doses and seeds at {number(largest.size)} parameters and {number(largest.tokens)} tokens would have "
        f"taken {large:.2g}, {large / small:.1f} times as many."
    ]


def operations(row: RunRecord) -> float:
    """Floating-point operations of a run: 6 a parameter and token."""
    return 6 * (row.total_size or row.size) * row.tokens
