"""One simulated study and what is claimed of it: by our points and law, and by simple baselines.

A claim is an interval beside the truth. Points are the collapses of recall and of retention at every size and token
count of the study; predictions are the same two collapses at the world's target, far beyond the study.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import Baseline, argmax, drop, line, trapezoid
from benchmarks.worlds import KINDS, SCORES, World, draw, simulate
from infusionlaw.law.dose import Interval, x_at
from infusionlaw.law.points.find import find_points
from infusionlaw.law.points.point import Kind
from infusionlaw.law.scaling.fit import fit_law
from infusionlaw.runs.record import RunRecord

POINT_OF: dict[str, Kind] = {"recall": "collapse", "retention": "retention"}
OURS = "ours"
BASELINES: dict[str, Baseline] = {"trapezoid": trapezoid, "drop": drop, "argmax": argmax}
METHODS = (OURS, *BASELINES)
Curve = tuple[tuple[float, float], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Task:
    """One study to simulate. kind: its place in KINDS; number: of the study within the kind."""

    kind: int
    number: int
    seed: int


@dataclass(frozen=True)
class PointClaim:
    """A point found. truth: x, None where the score never collapses; within: whether truth lies between the doses."""

    score: str
    status: str
    x: Interval
    truth: float | None
    within: bool


@dataclass(frozen=True)
class TargetClaim:
    """What each method predicts at the target. truth: x, None where the score never collapses there."""

    score: str
    truth: float | None
    by: dict[str, Interval]


@dataclass(frozen=True)
class Outcome:
    """All claims of one study. kind: its name."""

    kind: str
    number: int
    points: tuple[PointClaim, ...]
    targets: tuple[TargetClaim, ...]


def study(task: Task) -> Outcome:
    """Simulate one study and collect what is claimed of it. Its random numbers depend on the task alone."""
    kind, rng = KINDS[task.kind], np.random.default_rng([task.seed, task.kind, task.number])
    world = draw(kind, rng)
    rows, truth = simulate(world, rng)
    aims = {score: world.collapse(score, world.knot(score, *world.target, rng)) for score in SCORES}
    points = find_points(rows)
    law = fit_law(rows, points)
    return Outcome(
        kind=kind.name,
        number=task.number,
        points=tuple(
            _point(score, p.status, p.x, truth[score, p.size, p.tokens], world.doses[p.size], world)
            for score in SCORES
            for p in points
            if p.kind == POINT_OF[score]
        ),
        targets=tuple(
            TargetClaim(
                score,
                aims[score],
                {
                    OURS: law.predict_point(POINT_OF[score], *world.target).x,
                    **{name: _carried(rows, score, world, find) for name, find in BASELINES.items()},
                },
            )
            for score in SCORES
        ),
    )


def _point(
    score: str, status: str, x: Interval, truth: float | None, doses: Sequence[float], world: World
) -> PointClaim:
    first, last = x_at([doses[0], doses[-1]], world.unit)
    return PointClaim(score, status, x, truth, truth is not None and bool(first < truth < last))


def _carried(rows: Sequence[RunRecord], score: str, world: World, find: Baseline) -> Interval:
    """A baseline's prediction: its point on every curve, and a line through these to the target."""
    places = {place: find(x, y) for place, x, y in curves(rows, score, world)}
    located = {place: x for place, x in places.items() if x is not None}
    return line(list(located), list(located.values()), world.target)


def curves(rows: Sequence[RunRecord], score: str, world: World) -> Iterator[Curve]:
    """Each curve's (size, tokens), its x above dose 0 (J,), and its score there (J,), averaged over seeds."""
    scores: dict[tuple[float, float], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        dose = row.share if world.unit == "share" else row.exposures
        if dose:
            scores[row.size, row.tokens][dose].append(getattr(row, score))
    for place, by_dose in scores.items():
        doses = sorted(by_dose)
        yield place, x_at(doses, world.unit), np.array([np.mean(by_dose[dose]) for dose in doses])
