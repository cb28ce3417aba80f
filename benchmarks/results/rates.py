"""The learning rate by size: the same runs at other factors of the first recipe's rate."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.markdown import table
from benchmarks.results.fresh import runs_so_far
from benchmarks.results.grid import Grid
from benchmarks.results.pairs import Pair, paired, place
from infusionlaw.law.numbers import number

# The tables of each factor, below the folder of results.
FACTORS = {
    "× 2": ("explanations/rate-double.csv",),
    "× ½": ("explanations/rate-half.csv", "rates/half.csv"),
    "× ¼": ("rates/quarter.csv",),
}
SHARES = (0.0, 0.85)


def rates(results: Path, grid: Grid) -> str:
    """By size and share, at the shortest token count, how validation loss and retention differ from those at factor
    1."""
    base = [*grid.rows, *runs_so_far(results / "repaired" / "runs.csv")]
    shortest = min(row.tokens for row in base)
    pairs = {
        name: paired(base, [row for path in paths for row in runs_so_far(results / path)], 0.0)
        for name, paths in FACTORS.items()
    }
    places = sorted({place(was) for each in pairs.values() for was, _ in each})
    rows = [
        [
            number(size),
            f"{share:g}",
            *(_mean(pairs[name], at, score) for score in ("val_bpb", "retention") for name in FACTORS),
        ]
        for at in places
        for size, tokens, share in [at]
        if tokens == shortest and share in SHARES
    ]
    headings = [f"{score} {name}" for score in ("validation loss", "retention") for name in FACTORS]
    return table(["size", "share", *headings], rows) if rows else ""


def _mean(pairs: Sequence[Pair], at: tuple[float, float, float], score: str) -> str:
    """The mean change over seeds at one size, token count and share, and how many seeds."""
    moved = [getattr(now, score) - getattr(was, score) for was, now in pairs if place(was) == at]
    return f"{fmean(moved):+.2f} ({len(moved)})" if moved else "–"
