"""The number of heads: the same runs with at most four of them, as the third recipe has."""

from pathlib import Path

from benchmarks.markdown import table
from benchmarks.results.fresh import runs_so_far
from benchmarks.results.grid import Grid
from benchmarks.results.pairs import HEADINGS, changes, paired
from infusionlaw.report.numbers import listed, number

HEADS = """Recall of 1.07 M and 1.8 M parameters collapses earlier than that of 267 k and 452 k at the same budgets, and
than that of 7.2 M at 6 M tokens, and general loss of 7.2 M came out lower than those two let expect. A candidate cause
is the shape: the recipe gives them nine and eleven heads of width 16, and 7.2 M five of 64. So the same runs were done
with four heads, as the recipe's third version has from 190,000 to 4.4 M parameters, at the shortest budget and shares
of {shares}: four heads minus many, mean ± standard error over trunks. The four heads ran on a CPU and the many on a
GPU, from 1.07 M on in bf16, which alone changes nothing that shows (the last section)."""

OUTCOME = """General loss is lower with four heads, the more the larger the model, so part of its misses is explained.
Whether recall collapses later is not settled."""


def heads(path: Path, main: Grid) -> str:
    """By size how the scores change with four heads; "" without a table."""
    rows = runs_so_far(path)
    if not rows:
        return ""
    lines = []
    for size in sorted({row.size for row in rows}):
        pairs = paired(main.fitted_rows, [row for row in rows if row.size == size], 0.0)
        lines.append([number(size), str(len(pairs)), *changes(pairs)])
    shares = listed([f"{share:g}" for share in sorted({round(row.share or 0.0, 2) for row in rows})])
    return "\n\n".join(
        ["## The number of heads", HEADS.format(shares=shares), table(["size", "runs", *HEADINGS], lines), OUTCOME]
    )
