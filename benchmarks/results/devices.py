"""The same runs on a CPU: what another machine's arithmetic changes, beside what another seed does."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.markdown import table
from benchmarks.results.grid import Grid
from benchmarks.results.pairs import SCORES, Pair, changes, place
from infusionlaw.records import RunRecord
from infusionlaw.table import read_table


def devices(path: Path, grid: Grid) -> str:
    """How the scores of the runs that a CPU did differ from those of the same runs of the grid; "" without them."""
    if not path.exists():
        return ""
    known = {row.run: row for row in grid.rows}
    pairs = [(row, known[row.run]) for row in read_table(path) if row.run in known]
    names = ["", *(score.replace("_", " ") for score in SCORES)]
    trunks, *cells = changes(pairs)
    seeds = [f"{_between_seeds(grid.fitted_rows, pairs, score):.3f}" for score in SCORES]
    return "\n\n".join(
        [
            "## The same runs on a CPU",
            f"The grid was trained on a GPU (an H100, in fp32). {len(pairs)} of its runs, {trunks} trunks, were done "
            "on a CPU too, the same to the last token: mean difference, GPU - CPU, ± standard error over trunks, and "
            "the deviation between seeds at the same sizes, budgets and doses.",
            table(names, [["GPU - CPU", *cells], ["between seeds", *seeds]]),
        ]
    )


def _between_seeds(rows: Sequence[RunRecord], pairs: Sequence[Pair], score: str) -> float:
    """Root mean square of the deviations between seeds over the places of the pairs."""
    groups: dict[tuple[float, float, float], list[float]] = {place(was): [] for was, _ in pairs}
    for row in rows:
        if place(row) in groups and (value := getattr(row, score)) is not None:
            groups[place(row)].append(value)
    spreads = [stdev(values) ** 2 for values in groups.values() if len(values) > 1]
    return fmean(spreads) ** 0.5 if spreads else 0.0
