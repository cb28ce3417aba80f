"""The number of heads: the same runs with at most four of them, as the third recipe has."""

from pathlib import Path

from benchmarks.markdown import table
from benchmarks.results.fresh import runs_so_far
from benchmarks.results.grid import Grid
from benchmarks.results.pairs import SCORES, changes, paired
from infusionlaw.report.numbers import number

HEADS = """At 1.07 M and 1.8 M parameters recall collapses earlier than in smaller models and in larger ones. What parts
these two from their neighbours is their shape: the recipe gave them nine and eleven heads of width 16, and 7.2 M
parameters five of 64. The same runs with four heads, as a third version of the recipe has below a width of 256, at the
shortest budget and shares of .75 to .92, on a CPU: four heads minus many, mean ± standard error over trunks."""


def heads(path: Path, main: Grid) -> str:
    """By size how the scores change with four heads; "" without a table."""
    rows = runs_so_far(path)
    if not rows:
        return ""
    names = ["size", "runs", "trunks", *(score.replace("_", " ") for score in SCORES)]
    lines = []
    for size in sorted({row.size for row in rows}):
        pairs = paired(main.fitted_rows, [row for row in rows if row.size == size], 0.0)
        lines.append([number(size), str(len(pairs)), *changes(pairs)])
    return "\n\n".join(["## The number of heads", HEADS, table(names, lines)])
