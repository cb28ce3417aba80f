"""What figures show, computed: a panel for each size and token count, with its curves, points and fitted shape.

Every dose is plotted at its law coordinate x (log odds of the share, or log exposures) and labelled in its own unit.
Dose 0 is x = -inf: it is drawn at the left edge, behind a break. Bars and bands are 90 % intervals.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np

from infusionlaw.law.dose import Interval, same_doses, unit_of, x_of
from infusionlaw.law.losses.measured import GENERAL, loss_unit, losses_of, title_of
from infusionlaw.law.plot import coordinate
from infusionlaw.law.points.curves import Curve, curves
from infusionlaw.law.points.lines import fitted_line
from infusionlaw.law.points.point import Kind, Point, Status
from infusionlaw.law.scaling.law import HALF_WIDTH
from infusionlaw.runs.outcomes import COLLAPSE, Outcome, outcomes_of, outcomes_with_points
from infusionlaw.runs.record import DoseUnit, RunRecord

MOST_PANELS = 12
SAME_TOKENS = 1.06  # token counts within this factor are one: D is rounded to whole steps


@dataclass(frozen=True)
class Series:
    """A score by dose: x ascending (-inf is dose 0), mean over seeds, half the 90 % interval (0 where not known)."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    half: tuple[float, ...]


@dataclass(frozen=True)
class Mark:
    """A point to mark: x and its interval in the law's coordinate (None: not set by the data), and its status."""

    kind: Kind
    size: float
    x: Interval
    status: Status


@dataclass(frozen=True)
class Panel:
    """All that was measured of one (N, D).

    scores: each outcome's series; starts: its value at the start of the runs, where known; unseen: guessing; seeds: (x,
    recall) of each run; collapsing: the curve that the collapse of recall is on, with that point.
    """

    size: float
    tokens: float
    held_out: bool
    unit: DoseUnit
    scores: dict[str, Series]
    starts: dict[str, float]
    unseen: Series
    seeds: tuple[tuple[float, float], ...]
    collapsing: tuple[Curve, Point] | None
    marks: tuple[Mark, ...]
    outcomes: tuple[Outcome, ...]
    loss_unit: str = "bits per byte"

    @property
    def recall(self) -> Series:
        """The series of recall."""
        return self.scores["recall"]

    @cached_property
    def line(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(x, recall) of the fitted shape, which takes a while; both empty where recall has no collapse."""
        found = fitted_line(*self.collapsing) if self.collapsing else None
        return (coordinate(found.dose, self.unit), tuple(found.value.tolist())) if found else ((), ())

    def mark(self, kind: Kind) -> Mark | None:
        """The mark of a kind, if there is one."""
        return next((mark for mark in self.marks if mark.kind == kind), None)


Place = tuple[float, float]
Curves = dict[str, list[Curve]]  # by outcome: one a number of facts


def panels(rows: Sequence[RunRecord], points: Sequence[Point]) -> list[Panel]:
    """One panel for each (N, D): the fitted sizes in order, then those held out."""
    out, every = [], (*outcomes_of(rows), *_other_losses(rows))
    for held in (False, True):
        mine = [row for row in rows if row.held_out == held]
        measured, runs = _curves(mine), _by_place(mine)
        # The last of a kind counts: where a place is both fitted and held out, that of these runs.
        found = _by_place(sorted(points, key=lambda point: point.held_out == held))
        unit: DoseUnit = unit_of(mine) if mine else "share"
        for place in sorted(runs):
            here = {point.kind: point for point in found.get(place, [])}
            out.append(_panel(runs[place], measured.get(place, {}), unit, held, list(here.values()), every))
    return out


T = TypeVar("T", RunRecord, Point)


def _by_place(items: Sequence[T]) -> dict[Place, list[T]]:
    """Runs or points by size and tokens."""
    found: dict[Place, list[T]] = defaultdict(list)
    for item in items:
        found[item.size, item.tokens].append(item)
    return found


def _curves(rows: Sequence[RunRecord]) -> dict[Place, Curves]:
    """The curves of rows by size and tokens."""
    found: dict[Place, Curves] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes_with_points(rows) if rows else ():
        for curve in curves(rows, outcome):
            found[curve.size, curve.tokens][outcome.name].append(curve)
    return found


def _panel(
    rows: Sequence[RunRecord],
    measured: Curves,
    unit: DoseUnit,
    held: bool,
    points: Sequence[Point],
    every: tuple[Outcome, ...],
) -> Panel:
    """The panel of the rows of one place."""
    collapse = next((point for point in points if point.kind == COLLAPSE.name), None)
    own = next((curve for curve in measured.get("recall", []) if collapse and curve.facts == collapse.facts), None)
    return Panel(
        size=rows[0].size,
        tokens=rows[0].tokens,
        held_out=held,
        unit=unit,
        scores={
            outcome.name: _series(measured.get(outcome.name, []))
            if outcome.points
            else _means(rows, outcome.name, unit)
            for outcome in every
        },
        starts={
            outcome.name: float(np.mean(known))
            for outcome in every
            if (known := [value for row in rows if (value := row.start(outcome.name)) is not None])
        },
        unseen=_means(rows, "unseen_recall", unit),
        seeds=tuple(sorted((x_of(row, unit), row.recall) for row in rows if row.recall is not None)),
        collapsing=(own, collapse) if own and collapse else None,
        marks=tuple(Mark(point.kind, point.size, point.x, point.status) for point in points),
        outcomes=every,
        loss_unit=loss_unit(rows),
    )


def _other_losses(rows: Sequence[RunRecord]) -> list[Outcome]:
    """The losses that a table has beside validation loss."""
    return [Outcome(name, title_of(name), "bits per byte") for name in losses_of(rows) if name != GENERAL]


def _series(curves: Sequence[Curve]) -> Series:
    """A score as the detectors see it, dose 0 first; of several numbers of facts the first."""
    if not curves:
        return Series((), (), ())
    curve = curves[0]
    zero = [(-np.inf, curve.zero.mean, curve.zero.sd)] if curve.zero else []
    table = [*zero, *zip(curve.x.tolist(), curve.mean.tolist(), curve.sd.tolist(), strict=True)]
    x, mean, sd = zip(*table, strict=True) if table else ((), (), ())
    return Series(x, mean, tuple(HALF_WIDTH * each for each in sd))


def _means(rows: Sequence[RunRecord], score: str, unit: DoseUnit) -> Series:
    """Means over seeds of a score that nothing is fitted to."""
    runs = sorted((x_of(row, unit), float(value)) for row in rows if (value := row.score(score)) is not None)
    groups = [[runs[i] for i in same] for same in same_doses([x for x, _ in runs])]
    means = [np.mean(group, axis=0).tolist() for group in groups]
    return Series(tuple(x for x, _ in means), tuple(y for _, y in means), (0.0,) * len(means))


def by_tokens(items: Sequence[Panel]) -> list[list[Panel]]:
    """Panels in sets of one token count, the order within each kept."""
    token_counts = sorted({panel.tokens for panel in items})
    starts = [token_counts[0], *(b for a, b in pairwise(token_counts) if b > SAME_TOKENS * a)] if token_counts else []
    return [[p for p in items if start <= p.tokens < end] for start, end in pairwise([*starts, np.inf])]


def spread_out(items: Sequence[Panel]) -> list[Panel]:
    """At most MOST_PANELS of the panels that were fitted, and as many of those held out, the first and last always."""
    groups = [[panel for panel in items if panel.held_out == held] for held in (False, True)]
    steps = [np.unique(np.linspace(0, len(group) - 1, min(MOST_PANELS, len(group))).round()) for group in groups]
    return [group[int(i)] for group, step in zip(groups, steps, strict=True) for i in step]
