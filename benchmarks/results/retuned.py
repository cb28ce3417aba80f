"""The recipe as it was fixed after the law's second trial, and the law under it on a third target."""

from pathlib import Path

from benchmarks.results.fresh import read_fresh
from benchmarks.results.grid import Grid, study_of
from benchmarks.results.predictions import told
from benchmarks.results.rates import rates
from infusionlaw.law.planning.compare import Comparison

RATES = """The same runs at other factors of the learning rate that they had, at the shortest token count: mean change
of validation loss and of retention over seeds (how many). Up to 160 k no factor is better; at 452 k half of the rate
is, at 1.8 M a quarter, without a dose. The second recipe has the exponents of the first, from the literature, and a
constant that gives .0035 at 452 k and .0013 at 1.8 M, and up to 267 k the same as before, .005."""

TARGET = """The law was then fitted to the runs of the reference up to 267 k parameters, which are the same under both
recipes, and asked for four times that size."""


def read_retuned(folder: Path, grid: Grid) -> Comparison | None:
    """From results/retuned the prediction beside what came of it; None without one."""
    asked = study_of("retuned").design.sizes
    largest = 1.05 * max(asked)  # shapes come within 5 % of the sizes asked for
    fresh = read_fresh(folder, [row for row in grid.fitted_rows if row.size <= largest], grid.tolerance)
    return fresh.comparison if fresh else None


def retuned(comparison: Comparison | None, results: Path, grid: Grid) -> str:
    """The learning rate by size, and the prediction under the fixed recipe with its outcome."""
    if comparison is None:
        return ""
    head = "## The fixed recipe, and the law under it on a fresh target"
    return "\n\n".join(part for part in (head, RATES, rates(results, grid), TARGET, *told(comparison)) if part)
