"""Runs that differ in one thing only, compared in pairs.

Runs of one stable phase are not independent, so the standard error is that of the phases' means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from infusionlaw.runs.record import RunRecord

SCORES = ("recall", "verbatim_recall", "retention", "val_bpb")
Pair = tuple[RunRecord, RunRecord]  # as it was, and as it is


@dataclass(frozen=True)
class Change:
    """The mean change of a score, and its standard error over stable phases; None where it cannot be said."""

    mean: float | None
    error: float | None


def paired(base: Sequence[RunRecord], rows: Sequence[RunRecord], near: float = 0.0) -> list[Pair]:
    """Runs at shares from `near` on with the run of the base that has the same size, token count, share and seed."""
    known = {(place(row), row.seed): row for row in base}
    both = [(was, row) for row in rows if (was := known.get((place(row), row.seed))) is not None]
    return [(was, row) for was, row in both if (row.share or 0.0) >= near and None not in (row.recall, was.recall)]


def place(row: RunRecord) -> tuple[float, float, float]:
    """Size, token count and share of a run, which its seeds have in common."""
    return row.size, row.tokens, round(row.share or 0.0, 2)


def changes(pairs: Sequence[Pair]) -> dict[str, Change]:
    """For each of SCORES the mean change."""
    phases: dict[tuple[float, float, int | None], list[Pair]] = {}
    for was, now in pairs:
        size, _, dose = place(now)
        phases.setdefault((size, dose, now.seed), []).append((was, now))
    return {score: _change(score, list(phases.values())) for score in SCORES}


def _change(score: str, phases: Sequence[Sequence[Pair]]) -> Change:
    each = [[now - was for pair in phase if (was := _of(pair[0], score)) is not None
             and (now := _of(pair[1], score)) is not None] for phase in phases]  # fmt: skip
    moved = [fmean(phase) for phase in each if phase]
    return Change(fmean(moved) if moved else None, stdev(moved) / sqrt(len(moved)) if len(moved) > 1 else None)


def _of(row: RunRecord, score: str) -> float | None:
    value: float | None = getattr(row, score)
    return value


def between_seeds(rows: Sequence[RunRecord], pairs: Sequence[Pair], score: str) -> float:
    """Root mean square of the deviations between seeds over the places of the pairs."""
    groups: dict[tuple[float, float, float], list[float]] = {place(was): [] for was, _ in pairs}
    for row in rows:
        if place(row) in groups and (value := _of(row, score)) is not None:
            groups[place(row)].append(value)
    spreads = [stdev(values) ** 2 for values in groups.values() if len(values) > 1]
    return fmean(spreads) ** 0.5 if spreads else 0.0
