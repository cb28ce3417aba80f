"""Runs that differ in one thing only, compared in pairs.

Runs of one trunk are not independent, so the standard error is that of the trunks' means.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

from infusionlaw.runs.record import RunRecord

SCORES = ("recall", "verbatim_recall", "retention", "val_bpb")
HEADINGS = ("trunks", *(score.replace("_", " ") for score in SCORES))  # of the cells that `changes` gives
Pair = tuple[RunRecord, RunRecord]  # as it was, and as it is


def paired(base: Sequence[RunRecord], rows: Sequence[RunRecord], near: float) -> list[Pair]:
    """Runs at shares from `near` on with the run of the base that has the same size, token count, share and seed."""
    known = {(place(row), row.seed): row for row in base}
    both = [(was, row) for row in rows if (was := known.get((place(row), row.seed))) is not None]
    return [(was, row) for was, row in both if (row.share or 0.0) >= near and None not in (row.recall, was.recall)]


def place(row: RunRecord) -> tuple[float, float, float]:
    """Size, token count and share of a run, which its seeds have in common."""
    return row.size, row.tokens, round(row.share or 0.0, 2)


def changes(pairs: Sequence[Pair]) -> list[str]:
    """How many trunks, and for each of SCORES the mean change with its standard error over trunks, as cells."""
    trunks: dict[tuple[float, float, int | None], list[Pair]] = {}
    for was, now in pairs:
        size, _, dose = place(now)
        trunks.setdefault((size, dose, now.seed), []).append((was, now))
    cells = [str(len(trunks))]
    for score in SCORES:
        each = [
            [getattr(now, score) - getattr(was, score) for was, now in trunk if _both(was, now, score)]
            for trunk in trunks.values()
        ]
        moved = [fmean(trunk) for trunk in each if trunk]
        error = f" ± {stdev(moved) / sqrt(len(moved)):.2f}" if len(moved) > 1 else ""
        cells.append(f"{fmean(moved):+.2f}{error}" if moved else "–")
    return cells


def _both(was: RunRecord, now: RunRecord, score: str) -> bool:
    return getattr(was, score) is not None and getattr(now, score) is not None
